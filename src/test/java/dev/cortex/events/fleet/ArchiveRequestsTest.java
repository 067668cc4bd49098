package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.archive.Archive;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** The clean-up takes what is too old out of the log as well. */
@ExtendWith(PostgresExtension.class)
class ArchiveRequestsTest {
  private final TestDatabase database;
  private final TestFleet fleet;
  @TempDir private Path directory;

  ArchiveRequestsTest(TestDatabase database) {
    this.database = database;
    this.fleet = new TestFleet(database);
  }

  @Test
  void at_a_cleanup_the_log_is_archived_and_told_of_once_however_many_rounds_the_cleanup_takes()
      throws Exception {
    try (CortexEvents owner = CortexEvents.connect(database.address()).as("cortex_owner")) {
      var handlers = List.of(FleetHandlers.archive(Archive.on(owner.connections(1)).in(directory)));
      fleet.handle(handlers);
      fleet.run(
          "update cortex.event_types set kept_for = '1 hour' where type = 'worker.heartbeat'");
      fleet.run(
          "insert into cortex.events (type, source, received_at) values ('worker.heartbeat', 'w-1', date_trunc('month', now()))");
      String expected =
          fleet
              .rows("select (date_trunc('month', now()) < now() - interval '1 hour')::int::text")
              .get(0);

      fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));
      fleet.emit(
          EventDraft.of("system.cleanup_needed", "cleanup")
              .withPayload(Json.of(Map.of("round", 2))));
      fleet.handle(handlers);

      assertThat(
              fleet.rows(
                  "select concat_ws(' ', source, removed_rows, complete) from fleet.cleanup_operations"))
          .containsExactly("archive " + expected + " t");
      assertThat(Archive.on(owner.connections(1)).in(directory).list())
          .hasSize(Integer.parseInt(expected));
    }
  }
}
