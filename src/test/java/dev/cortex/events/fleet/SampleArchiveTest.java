package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Json;
import dev.cortex.events.outbox.ImportOptions;
import dev.cortex.events.outbox.ImportSummary;
import dev.cortex.events.outbox.Importer;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@ExtendWith(PostgresExtension.class)
class SampleArchiveTest {
  private final TestDatabase database;
  private final TestFleet fleet;

  @TempDir private Path directory;

  SampleArchiveTest(TestDatabase database) {
    this.database = database;
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void imported() throws IOException {
    new Importer(database.dataSource(), ImportOptions.defaults())
        .run(List.of(SampleArchive.copyTo(directory)));
  }

  @Test
  void importing_it_again_changes_nothing() {
    ImportSummary again =
        new Importer(database.dataSource(), ImportOptions.defaults()).run(List.of(directory));

    assertThat(again.accepted()).isZero();
    assertThat(again.duplicate()).isEqualTo(SampleArchive.EVENTS + SampleArchive.DEFECTS);
  }

  @Test
  void what_is_no_event_is_kept_with_its_reason() throws SQLException {
    assertThat(fleet.rows("select origin from cortex.quarantined"))
        .hasSize(SampleArchive.DEFECTS)
        .allMatch(origin -> origin.contains("older-daemon-events.jsonl"));
  }

  @ParameterizedTest
  @CsvSource({
    "worker_events, 18, event_id event_type timestamp source",
    "task_events, 13, event_id event_type timestamp source",
    "security_events, 4, event_id event_type timestamp source",
    "routing_events, 3, event_id event_type timestamp source",
    "learning_events, 6, event_id event_type timestamp source",
    "system_events, 6, event_id event_type timestamp source",
    "daemon_events, 5, event_id event_type timestamp source",
    "worker_health_metrics, 6, timestamp worker_id heartbeat_time status",
    "routing_decisions, 3, timestamp task_id master confidence routing_reason",
    "scan_results, 4, timestamp scan_id event_type severity finding_count details",
    "failure_patterns, 5, timestamp task_id task_type error_type error worker_id occurrences",
    "learning_patterns, 3, timestamp pattern_type task_type master successes failures confidence details",
    "worker_performance, 6, timestamp worker_id task_id outcome duration_ms",
    "cleanup_operations, 1, timestamp event_id source removed_rows duration_ms complete details",
    "dashboard_events, 17, timestamp event_type severity message event_id",
    "system_startups, 3, timestamp event_id daemon source details",
    "system_shutdowns, 2, timestamp event_id daemon source reason active_workers details",
    "task_statistics, 4, task_type created assigned completed failed success_rate mean_duration_ms last_at",
    "alert_statistics, 2, alert_type severity raised first_at last_at raised_last_24_hours"
  })
  void every_file_of_the_old_system_is_a_view_with_one_json_object_a_line(
      String view, int rows, String fields) throws SQLException {
    List<String> lines = fleet.rows("cortex_auditor", "select line from fleet." + view);

    assertThat(lines).hasSize(rows);
    for (String line : lines) {
      assertThat(line).doesNotContain("\n");
      List<String> names = new ArrayList<>();
      Json.parse("line", line).tree().fieldNames().forEachRemaining(names::add);
      assertThat(names).startsWith(fields.split(" "));
      if (!view.endsWith("_events") || view.equals("dashboard_events")) {
        assertThat(names).containsExactly(fields.split(" "));
      }
    }
  }

  @Test
  void payloads_that_say_the_same_in_other_words_are_read_the_same() throws SQLException {
    assertThat(
            fleet.rows(
                "select concat_ws(' ', task_id, master, confidence, routing_reason)"
                    + " from fleet.routing_decisions order by decided_at"))
        .containsExactly(
            "implementation-task-014 development 0.81 best record for implementation",
            "deployment-task-001 development 0.92 keyword match: deploy, service",
            "inventory-task-003 inventory 0.77 only master for inventory");
    assertThat(
            fleet.rows(
                "select concat_ws(' ', severity, finding_count) from fleet.scan_results order by reported_at"))
        .containsExactly("critical 16", "critical 1", "low 0", "medium 11");
    assertThat(
            fleet.rows(
                "select concat_ws(' ', worker_id, outcome, duration_ms) from fleet.worker_performance"
                    + " where worker_id like 'impl%' order by finished_at"))
        .containsExactly("impl-worker-014 failed 1598000", "impl-worker-015 completed 241300");
  }

  @Test
  void the_fourth_failure_of_a_kind_within_the_hour_is_a_pattern_and_the_third_is_not()
      throws SQLException {
    assertThat(
            fleet.rows(
                "select concat_ws(' ', error_type, occurrences, is_pattern)"
                    + " from fleet.failure_patterns order by failed_at"))
        .containsExactly(
            "timeout 1 f", "rate_limit 1 f", "rate_limit 2 f", "rate_limit 3 f", "rate_limit 4 t");
  }
}
