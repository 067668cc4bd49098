package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class AlertsAndCleanupTest {
  private final TestFleet fleet;

  AlertsAndCleanupTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void an_alert_within_an_hour_of_one_of_its_kind_repeats_it_and_a_later_one_opens_anew()
      throws Exception {
    Instant noon = Instant.parse("2025-12-01T12:00:00Z");
    fleet.emit(alert("disk", noon.plusSeconds(9_000)));
    fleet.emit(alert("disk", noon));
    fleet.emit(alert("memory", noon.plusSeconds(60)));
    fleet.emit(alert("disk", noon.plusSeconds(3_500)));

    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', alert_type, to_char(opened_at at time zone 'UTC', 'HH24:MI'), repeated)"
                    + " from fleet.alert_episodes order by opened_at"))
        .containsExactly("disk 12:00 1", "memory 12:01 0", "disk 14:30 0");
    assertThat(fleet.rows("select event_type from fleet.dashboard_events")).hasSize(4);
  }

  @Test
  void a_cleanup_removes_what_has_expired_records_it_and_says_so() throws Exception {
    fleet.emit(EventDraft.of("worker.heartbeat", "w-old"));
    fleet.emit(EventDraft.of("worker.heartbeat", "w-new"));
    fleet.emit(alert("disk", Instant.now()));
    fleet.handle();
    fleet.run(
        "update fleet.worker_health set heard_at = heard_at - interval '8 days' where worker_id = 'w-old'");
    fleet.run("update fleet.alerts set received_at = received_at - interval '91 days'");

    fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));
    fleet.handle();

    assertThat(fleet.rows("select worker_id from fleet.worker_health")).containsExactly("w-new");
    assertThat(fleet.rows("select event_id from fleet.alerts")).isEmpty();
    assertThat(
            fleet.rows(
                "select concat_ws(' ', removed ->> 'worker_health', removed ->> 'alerts', complete)"
                    + " from fleet.cleanups"))
        .containsExactly("1 1 t");
    assertThat(
            fleet.rows(
                "select concat_ws(' ', removed_rows, complete) from fleet.cleanup_operations"))
        .containsExactly("2 t");
    assertThat(fleet.rows("select event_type from fleet.dashboard_events"))
        .contains("system.cleanup_completed");
  }

  /** Each table that has a column of that name, and each setting, is there. */
  @Test
  void a_cleanup_looks_at_every_table_that_rows_expire_in() throws Exception {
    fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select o.key || ' ' || o.value from fleet.cleanups c, jsonb_each_text(c.removed) o"))
        .contains("worker_health 0", "restarts 0", "metrics 0", "cleanups 0")
        .hasSize(1 + ExpiredRows.ALL.size());
  }

  @Test
  void metrics_and_restarts_are_kept_as_long_as_their_own_settings_say() throws Exception {
    fleet.run("update fleet.settings set restart_window = '100 days'");
    fleet.run(
        "insert into fleet.restarts (worker_id, requested_at, last_at)"
            + " select 'w-' || age, array[now() - age], now() - age"
            + " from unnest('{91 days,101 days}'::interval[]) age");
    fleet.run(
        "insert into fleet.metrics (minute, type, events, timed, total_duration_ms, max_duration_ms)"
            + " select date_trunc('minute', now() - age), 'x.y', 1, 0, 0, 0 from unnest('{13 days,15 days}'::interval[]) age");
    try {
      fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));
      fleet.handle();
    } finally {
      fleet.run("update fleet.settings set restart_window = default");
    }

    assertThat(fleet.rows("select worker_id from fleet.restarts")).containsExactly("w-91 days");
    assertThat(
            fleet.rows(
                "select removed ->> 'restarts' || ' ' || (removed ->> 'metrics') from fleet.cleanups"))
        .containsExactly("1 1");
  }

  @Test
  void what_is_open_or_newest_or_not_learned_stays_however_old_it_is() throws Exception {
    task("created", "open");
    task("created", "ended");
    task("completed", "ended");
    scan("clean", 1, 0);
    scan("clean", 2, 0);
    scan("broken", 1, 1);
    scan("mended", 1, 1);
    scan("mended", 2, 0);
    fleet.handle();
    fleet.emit(EventDraft.of("learning.cycle_requested", "test"));
    fleet.handle();
    task("failed", "unlearned");
    fleet.handle();
    for (String table :
        List.of("tasks", "task_steps", "task_outcomes", "scans", "vulnerabilities")) {
      fleet.run(
          "update fleet.%s set received_at = received_at - interval '91 days'".formatted(table));
    }

    fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));
    fleet.handle();
    fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));
    fleet.handle();

    assertThat(fleet.rows("select task_id from fleet.task_steps")).containsExactly("open");
    assertThat(fleet.rows("select task_id from fleet.task_outcomes")).containsExactly("unlearned");
    assertThat(
            fleet.rows(
                "select concat_ws(' ', target, critical) from fleet.security_posture where target <> '*' order by 1"))
        .containsExactly("broken 1", "clean 0", "mended 0");
    assertThat(fleet.rows("select target from fleet.scans order by 1"))
        .containsExactly("broken", "clean", "mended");
    assertThat(fleet.rows("select concat_ws(' ', target, closed_at) from fleet.remediations"))
        .containsExactly("broken");
  }

  private void task(String step, String task) throws SQLException {
    fleet.emit(
        EventDraft.of("task." + step, "test").withPayload("{\"task_id\": \"" + task + "\"}"));
  }

  private void scan(String target, int minute, int critical) throws SQLException {
    fleet.emit(
        EventDraft.of("security.scan_completed", "test")
            .withPayload("{\"target\": \"%s\", \"critical\": %d}".formatted(target, critical))
            .withOccurredAt(Instant.parse("2026-01-01T00:00:00Z").plusSeconds(60L * minute)));
  }

  @Test
  void a_cleanup_that_reaches_its_limit_is_followed_by_another_one() throws Exception {
    fleet.run(
        "insert into fleet.alerts (event_id, alert_type, subject, severity, raised_at, received_at)"
            + " select 'a-' || n, 'disk', '', 'low', '2025-01-01', '2025-01-01' from generate_series(1, 10005) n");

    fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', removed ->> 'alerts', complete) from fleet.cleanups order by started_at"))
        .containsExactly("10000 f", "5 t");
  }

  private static EventDraft alert(String type, Instant raisedAt) {
    return EventDraft.of("system.health_alert", "monitor")
        .withPayload("{\"alert_type\": \"" + type + "\"}")
        .withOccurredAt(raisedAt);
  }
}
