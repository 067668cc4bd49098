package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Envelope;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import dev.cortex.events.outbox.ImportOptions;
import dev.cortex.events.outbox.Importer;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The lines of the views are what was emitted: equal as JSON values and as instants, in one fixed
 * format. jsonb reorders members and writes numbers and times its own way, so not equal as text.
 */
@ExtendWith(PostgresExtension.class)
class FilesAsViewsTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  private static final Comparator<JsonNode> AS_VALUES =
      (one, other) -> {
        if (one.isNumber() && other.isNumber()) {
          return new BigDecimal(one.asText()).compareTo(new BigDecimal(other.asText()));
        }
        return one.equals(other) ? 0 : 1;
      };

  private final TestDatabase database;
  private final TestFleet fleet;
  @TempDir private Path directory;

  FilesAsViewsTest(TestDatabase database) {
    this.database = database;
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void empty() throws SQLException {
    fleet.clear();
  }

  private void imported(String documents) throws IOException {
    Path file = directory.resolve("events.jsonl");
    Files.writeString(file, documents);
    assertThat(
            new Importer(database.dataSource(), ImportOptions.defaults())
                .run(List.of(file))
                .quarantinedInAll())
        .isZero();
  }

  /** An envelope of every shape that old archives hold. */
  private static String shapes(String type) {
    return """
        {"event_id": "evt_20251201_165420_a1", "event_type": "T", "timestamp": "2025-12-01T22:54:20+0000", "source": "w-1"}
        {"event_id": "evt_20251201_165421_a2", "event_type": "T", "timestamp": "2025-12-01T16:54:21.25-06:00", "source": "w \\"2\\" \\u00e9\\ud83d\\ude00",
         "correlation_id": "c-1", "metadata": {"priority": "critical", "master": "m", "tags": ["b", "a", null]},
         "payload": {"workers": [null, "w-2"], "z": {"b": 1e2, "a": -0.50}, "empty": {}, "none": [], "line": "one\\ntwo\\t\\\\ \\/"}}
        {"event_id":"evt_20251201_165422_a3","event_type":"T","timestamp":"2025-12-01T22:54:22Z","source":"w-3","payload":{}}{"event_id":"evt_20251201_165423_a4","event_type":"T","timestamp":"2025-12-01T22:54:23.123456+02:00","source":"w-4","metadata":{},"version":2,"host":{"name":"h"}}
        {
          "event_id": "evt_20251201_165424_a5",
          "event_type": "T",
          "timestamp": "2025-12-01T22:54:24+0000",
          "source": "w-5",
          "metadata": {"priority": "low"},
          "payload": {"big": 12345678901234567890.5, "truth": true}
        }
        """
        .replace("\"T\"", "\"" + type + "\"");
  }

  @ParameterizedTest
  @CsvSource({
    "worker.completed, fleet.worker_events",
    "task.failed, fleet.task_events",
    "security.scan_completed, fleet.security_events",
    "routing.decision_made, fleet.routing_events",
    "learning.pattern_detected, fleet.learning_events",
    "system.health_alert, fleet.system_events",
    "daemon.started, fleet.daemon_events",
    "worker.heartbeat, cortex.event_log"
  })
  void a_line_is_the_envelope_as_it_was_emitted(String type, String view) throws Exception {
    String documents = shapes(type);
    imported(documents);
    assertThatLinesAre(view, documents);
  }

  @Test
  void a_line_of_the_unknown_is_the_envelope_as_it_was_emitted() throws Exception {
    fleet.run("update cortex.settings set allow_unknown_types = true");
    String documents = shapes("odd.event");
    imported(documents);
    fleet.run("update cortex.settings set allow_unknown_types = false");
    assertThatLinesAre("cortex.unknown_events", documents);
  }

  private void assertThatLinesAre(String view, String documents) throws Exception {
    List<String> lines =
        fleet.rows("cortex_auditor", "select line from " + view + " order by event_id");
    List<JsonNode> emitted = new ArrayList<>();
    JSON.readerFor(JsonNode.class).<JsonNode>readValues(documents).forEachRemaining(emitted::add);
    assertThat(lines).hasSameSizeAs(emitted);
    for (int i = 0; i < lines.size(); i++) {
      assertThat(lines.get(i)).doesNotContain("\n");
      JsonNode line = withInstant(JSON.readTree(lines.get(i)));
      JsonNode wanted = withInstant(emitted.get(i));
      assertThat(line.equals(AS_VALUES, wanted)).as("%s%nis%n%s", wanted, line).isTrue();
    }
  }

  private static JsonNode withInstant(JsonNode event) {
    String moment = Envelope.readArchived(event.toString()).occurredAt().orElseThrow().toString();
    ((ObjectNode) event).set("timestamp", TextNode.valueOf(moment));
    return event;
  }

  @Test
  void the_format_of_a_line_is_fixed_and_its_type_is_the_canonical_one() throws Exception {
    imported(
        """
        {"payload": {"b": 1, "a": [1, null]}, "source": "s", "timestamp": "2025-12-01T16:54:20-06:00", "extra": 1,
         "metadata": {"tags": ["x"], "priority": "high"}, "correlation_id": "c", "event_type": "routing.decision",
         "event_id": "evt_20251201_165420_a1"}
        """);
    assertThat(fleet.rows("select line from fleet.routing_events"))
        .containsExactly(
            """
            {"event_id": "evt_20251201_165420_a1", "event_type": "routing.decision_made", \
            "timestamp": "2025-12-01T22:54:20Z", "source": "s", "correlation_id": "c", \
            "metadata": {"tags": ["x"], "priority": "high"}, "payload": {"a": [1, null], "b": 1}, "extra": 1}""");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "worker_health_metrics | worker.heartbeat | {\"worker_id\": \"w-1\", \"status\": \"busy\"} | {\"worker_id\": \"w-1\", \"heartbeat_time\": \"2025-12-01T22:54:20Z\", \"status\": \"busy\"}",
        "routing_decisions | routing.decision_made | {\"task_id\": \"t\", \"master\": \"m\", \"confidence\": 0.92, \"routing_reason\": \"why\"} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"task_id\": \"t\", \"master\": \"m\", \"confidence\": 0.92, \"routing_reason\": \"why\"}",
        "scan_results | security.scan_completed | {\"scan_id\": \"s\", \"severity\": \"High\", \"findings\": 3, \"details\": {\"x\": 1}} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"scan_id\": \"s\", \"event_type\": \"security.scan_completed\", \"severity\": \"high\", \"finding_count\": 3, \"details\": {\"x\": 1}}",
        "failure_patterns | task.failed | {\"task_id\": \"t\", \"task_type\": \"k\", \"error_type\": \"timeout\", \"error\": \"e\", \"worker_id\": \"w\"} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"task_id\": \"t\", \"task_type\": \"k\", \"error_type\": \"timeout\", \"error\": \"e\", \"worker_id\": \"w\", \"occurrences\": 1}",
        "learning_patterns | learning.pattern_detected | {\"pattern_type\": \"p\", \"task_type\": \"k\", \"master\": \"m\", \"successes\": 2, \"failures\": 1, \"confidence\": 0.5} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"pattern_type\": \"p\", \"task_type\": \"k\", \"master\": \"m\", \"successes\": 2, \"failures\": 1, \"confidence\": 0.5, \"details\": {\"pattern_type\": \"p\", \"task_type\": \"k\", \"master\": \"m\", \"successes\": 2, \"failures\": 1, \"confidence\": 0.5}}",
        "worker_performance | worker.completed | {\"worker_id\": \"w\", \"task_id\": \"t\", \"duration_ms\": 1500} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"worker_id\": \"w\", \"task_id\": \"t\", \"outcome\": \"completed\", \"duration_ms\": 1500}",
        "cleanup_operations | system.cleanup_completed | {\"removed_rows\": 7, \"duration_ms\": 12} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"event_id\": \"evt_20251201_165420_a1\", \"source\": \"w-1\", \"removed_rows\": 7, \"duration_ms\": 12, \"complete\": true, \"details\": {\"removed_rows\": 7, \"duration_ms\": 12}}",
        "dashboard_events | system.health_alert | {\"severity\": \"high\", \"message\": \"m\"} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"event_type\": \"system.health_alert\", \"severity\": \"high\", \"message\": \"m\", \"event_id\": \"evt_20251201_165420_a1\"}",
        "system_startups | daemon.started | {\"daemon\": \"d\"} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"event_id\": \"evt_20251201_165420_a1\", \"daemon\": \"d\", \"source\": \"w-1\", \"details\": {\"daemon\": \"d\"}}",
        "system_shutdowns | daemon.stopped | {\"daemon\": \"d\", \"reason\": \"r\", \"active_workers\": 2} | {\"timestamp\": \"2025-12-01T22:54:20Z\", \"event_id\": \"evt_20251201_165420_a1\", \"daemon\": \"d\", \"source\": \"w-1\", \"reason\": \"r\", \"active_workers\": 2, \"details\": {\"daemon\": \"d\", \"reason\": \"r\", \"active_workers\": 2}}",
        "task_statistics | task.completed | {\"task_type\": \"k\", \"duration_ms\": 10} | {\"task_type\": \"k\", \"created\": 0, \"assigned\": 0, \"completed\": 1, \"failed\": 0, \"success_rate\": 1.0, \"mean_duration_ms\": 10, \"last_at\": \"2025-12-01T22:54:20Z\"}",
        "alert_statistics | system.health_alert | {\"alert_type\": \"a\", \"severity\": \"low\"} | {\"alert_type\": \"a\", \"severity\": \"low\", \"raised\": 1, \"first_at\": \"2025-12-01T22:54:20Z\", \"last_at\": \"2025-12-01T22:54:20Z\", \"raised_last_24_hours\": 0}"
      })
  void a_file_with_a_line_of_its_own_has_it_as_before(
      String view, String type, String payload, String expected) throws Exception {
    imported(
        """
        {"event_id": "evt_20251201_165420_a1", "event_type": "%s", "timestamp": "2025-12-01T16:54:20-06:00", "source": "w-1",
         "payload": %s}
        """
            .formatted(type, payload));
    ObjectNode line =
        (ObjectNode) JSON.readTree(fleet.rows("select line from fleet." + view).get(0));
    if (view.equals("worker_health_metrics")) {
      assertThat(line.remove("timestamp").textValue()).endsWith("Z"); // when it was received
    }
    assertThat(line.equals(AS_VALUES, JSON.readTree(expected))).as("%s", line).isTrue();
    assertThat(line.fieldNames())
        .toIterable()
        .containsExactlyElementsOf(JSON.readTree(expected)::fieldNames);
  }

  @Test
  void a_shut_down_has_as_many_active_workers_as_its_handler_has_recorded() throws Exception {
    fleet.register();
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1"));
    fleet.emit(EventDraft.of("worker.heartbeat", "w-2"));
    fleet.emit(EventDraft.of("worker.started", "w-3"));
    fleet.emit(EventDraft.of("worker.failed", "w-3"));
    fleet.tick("stale-worker-check");
    fleet.handle();
    fleet.emit(
        EventDraft.of("worker.restart_requested", "worker-restarts")
            .withPayload("{\"worker_id\": \"w-3\"}"));
    fleet.emit(EventDraft.of("daemon.stopped", "counted").withPayload("{\"active_workers\": 9}"));
    fleet.handle();
    imported(
        """
        {"event_id": "evt_20251201_165420_a1", "event_type": "daemon.stopped", "timestamp": "2025-12-01T22:54:20Z", "source": "imported"}
        """);

    assertThat(
            fleet.rows(
                "select concat_ws(' ', source, coalesce(active_workers::text, 'not counted'))"
                    + " from fleet.system_shutdowns order by source"))
        .containsExactly("counted 2", "imported not counted");
    assertThat(fleet.rows("select cardinality(active_workers) from fleet.shutdowns"))
        .containsExactly("2");
  }

  @Test
  void what_the_clock_emits_is_of_no_worker() throws Exception {
    fleet.tick("stale-worker-check");
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1"));

    assertThat(
            fleet.rows(
                "select concat_ws(' ', type, worker_id) from fleet.worker_events order by type"))
        .containsExactly("worker.heartbeat w-1", "worker.stale_check_requested");
  }

  @Test
  void failures_are_of_the_kinds_and_in_the_windows_of_the_handler() throws Exception {
    fleet.register();
    Instant moment = Instant.now().truncatedTo(ChronoUnit.SECONDS).minusSeconds(7200);
    List<String> kinds = List.of("\"Timeout\"", "\"timeout\"", "\"TIMEOUT\"", "\"Timeout\"");
    for (int i = 0; i < kinds.size(); i++) {
      failed(kinds.get(i), moment.plusSeconds(1200L * i)); // the first and the last an hour apart
    }
    for (String kind : List.of("\"\"", "null", "{}", "7", "\"" + "x".repeat(201) + "\"")) {
      failed(kind, moment);
    }
    failed("\"ahead\"", Instant.parse("2099-01-01T00:00:00Z"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', event_id, error_type, failed_at) from fleet.failure_patterns order by event_id"))
        .hasSize(10)
        .isEqualTo(
            fleet.rows(
                "select concat_ws(' ', event_id, error_type, failed_at) from fleet.failures order by event_id"));
    assertThat(
            fleet.rows(
                "select concat_ws(' ', error_type, occurrences) from fleet.failure_patterns where is_pattern"))
        .containsExactly("timeout 4")
        .isEqualTo(
            fleet.rows(
                "select concat_ws(' ', payload ->> 'error_type', payload ->> 'occurrences')"
                    + " from fleet.system_events where alert_type = 'failure_pattern'"));
  }

  private void failed(String errorType, Instant moment) throws SQLException {
    fleet.emit(
        EventDraft.of("task.failed", "w-1")
            .withPayload("{\"task_id\": \"t\", \"error_type\": " + errorType + "}")
            .withOccurredAt(moment));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{'vulnerabilities': {'critical': 2}} | critical 2 | 2 0 0 0",
        "{'severity_counts': {'high': '3', 'low': 1}} | high 4 | 0 3 0 1",
        "{'findings': [{'severity': 'HIGH'}, {'severity': 'low'}, null]} | high 2 | 0 1 0 1",
        "{'findings': ['CVE-1', {'severity': 'low'}]} | low 2 | 0 0 0 1",
        "{'vulnerabilities': 20, 'severity': 'Medium'} | medium 20 | 0 0 20 0",
        "{'finding_count': 5} | 5 | 0 0 0 0",
        "{'findings': [], 'severity': 'low', 'finding_count': 7} | low 0 | 0 0 0 0",
        "{'findings': 'none', 'severity': ''} | 0 | 0 0 0 0",
        "{'critical': -1, 'high': 1e300} | high 1000000000000000 | 0 1000000000000000 0 0",
      })
  void a_scan_has_the_findings_and_the_severity_that_its_handler_counts(
      String payload, String line, String counts) throws Exception {
    fleet.register();
    fleet.emit(
        EventDraft.of("security.scan_completed", "s").withPayload(payload.replace('\'', '"')));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', severity, finding_count) from fleet.scan_results"
                    + " where event_type = 'security.scan_completed'"))
        .containsExactly(line);
    assertThat(fleet.rows("select concat_ws(' ', critical, high, medium, low) from fleet.scans"))
        .containsExactly(counts);
  }

  @Test
  void a_vulnerability_without_a_severity_has_the_priority_of_its_event() throws Exception {
    fleet.register();
    fleet.emit(EventDraft.of("security.vulnerability_found", "s").withPriority(Priority.HIGH));
    fleet.emit(EventDraft.of("security.vulnerability_found", "s"));
    fleet.handle();

    assertThat(fleet.rows("select concat_ws(' ', event_id, severity) from fleet.scan_results"))
        .hasSize(2)
        .containsExactlyInAnyOrderElementsOf(
            fleet.rows("select concat_ws(' ', event_id, severity) from fleet.vulnerabilities"));
  }
}
