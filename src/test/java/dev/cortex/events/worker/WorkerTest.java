package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class WorkerTest {

  @Test
  void an_event_is_handled_once_and_audited(TestDatabase database) throws Exception {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(
          "insert into cortex.event_types (type) values ('test.ping') on conflict do nothing");
      statement.execute("create table effects (event_id text, attempt int)");
      statement.execute("grant all on effects to public");
    }
    HandlerDefinition handler =
        HandlerDefinition.oneByOne(
                "pinger",
                (event, context) -> {
                  try (PreparedStatement insert =
                      context.connection().prepareStatement("insert into effects values (?, ?)")) {
                    insert.setString(1, event.id());
                    insert.setInt(2, context.attempt());
                    insert.executeUpdate();
                  }
                  return Outcome.done();
                })
            .on("test.*");
    try (Worker worker =
        Worker.start(
            database.dataSource(),
            database.dataSource(),
            List.of(handler),
            WorkerOptions.defaults(),
            Telemetry.toLog())) {
      try (Connection connection = database.connection()) {
        connection.setAutoCommit(false);
        Outbox outbox = new Outbox();
        for (int i = 0; i < 1000; i++) {
          outbox.emit(
              connection, EventDraft.of("test.ping", "test").withPayload("{\"n\": " + i + "}"));
        }
        connection.commit();
      }
      assertThat(worker.workerId()).isPositive();
      org.awaitility.Awaitility.await()
          .atMost(Duration.ofSeconds(20))
          .untilAsserted(
              () ->
                  assertThat(
                          count(
                              database,
                              "select count(*) from cortex.attempts where outcome = 'done'"))
                      .isEqualTo(1000));
    }
    assertThat(count(database, "select count(*) from effects")).isEqualTo(1000);
    assertThat(count(database, "select count(*) from cortex.deliveries")).isZero();
  }

  private static long count(TestDatabase database, String sql) throws Exception {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }
}
