package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import java.sql.SQLException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Observability checks, start-ups, shut-downs and requests to start a daemon. */
@ExtendWith(PostgresExtension.class)
class SystemEventsTest {
  private static final String ALERTS =
      "select concat_ws(' ', payload ->> 'alert_type', payload ->> 'subject', payload ->> 'warnings',"
          + " payload ->> 'workers', payload ->> 'handlers')"
          + " from cortex.event_log where type = 'system.health_alert' order by id";

  private final TestFleet fleet;

  SystemEventsTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void a_check_is_answered_active_when_there_was_an_event_within_five_minutes() throws Exception {
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1"));
    String check = fleet.emit(EventDraft.of("system.observability_check", "load-test-workers"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', causation_id, payload ->> 'active', payload ->> 'events',"
                    + " payload ->> 'within_seconds')"
                    + " from cortex.event_log where type = 'system.observability_reported'"))
        .containsExactly(check + " true 1 300");
  }

  @Test
  void asking_does_not_make_it_active_and_neither_does_an_event_of_six_minutes_ago()
      throws Exception {
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1"));
    fleet.handle();
    fleet.asSuperuser("update cortex.events set received_at = received_at - interval '6 minutes'");
    fleet.emit(EventDraft.of("system.observability_check", "load-test-workers"));
    fleet.emit(EventDraft.of("system.observability_check", "load-test-workers"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select payload ->> 'active' from cortex.event_log where type = 'system.observability_reported'"))
        .containsExactly("false", "false");
    assertThat(fleet.rows("select active from fleet.observability")).containsExactly("f");
  }

  @Test
  void a_start_up_where_all_is_well_is_recorded_with_its_counts_and_tells_nobody()
      throws Exception {
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1"));
    fleet.emit(EventDraft.of("task.created", "me").withPayload("{\"task_id\": \"t-1\"}"));
    fleet.handle();
    started("{\"daemon\": \"coordinator\", \"disk_free_mb\": 1024}");

    assertThat(fleet.rows("select concat_ws(' ', daemon, warnings, counts) from fleet.startups"))
        .containsExactly("coordinator {} {\"open_tasks\": 1, \"free_workers\": 1}");
    assertThat(fleet.rows(ALERTS)).isEmpty();
  }

  @Test
  void a_start_up_warns_of_a_full_disk_a_paused_handler_and_a_disabled_schedule_once()
      throws Exception {
    fleet.run("select cortex.pause_handler('auto-fix', 'test')");
    fleet.run("update cortex.schedules set enabled = false where name = 'weekly-cleanup'");
    try {
      started("{\"daemon\": \"coordinator\", \"disk_free_mb\": 1023}");
      started("{\"daemon\": \"coordinator\", \"disk_free_mb\": 1023}");
    } finally {
      fleet.run("update cortex.schedules set enabled = true where name = 'weekly-cleanup'");
      fleet.run("select cortex.resume_handler('auto-fix', 'test')");
    }

    assertThat(fleet.rows(ALERTS))
        .containsExactly(
            "startup_warnings coordinator [\"free disk space is 1023 MiB, less than 1024\","
                + " \"handler auto-fix is paused\", \"schedule weekly-cleanup is disabled\"]");
  }

  @Test
  void the_disk_of_the_worker_is_looked_at_where_the_event_says_nothing() throws Exception {
    fleet.run("update fleet.settings set disk_free_mb = 2147483647");
    try {
      started("{}");
    } finally {
      fleet.run("update fleet.settings set disk_free_mb = default");
    }

    assertThat(fleet.rows("select warnings::text from fleet.startups"))
        .singleElement()
        .asString()
        .containsPattern("free disk space is [0-9]+ MiB, less than 2147483647");
  }

  @Test
  void a_shut_down_with_active_workers_raises_an_alert_and_without_none() throws Exception {
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1"));
    fleet.handle();
    fleet.emit(EventDraft.of("daemon.stopped", "coordinator-daemon"));
    fleet.handle();
    assertThat(fleet.rows(ALERTS))
        .containsExactly("active_workers_at_shutdown coordinator-daemon [\"w-1\"]");

    fleet.emit(EventDraft.of("worker.completed", "w-1"));
    fleet.handle();
    fleet.emit(EventDraft.of("daemon.stopped", "pm-daemon"));
    fleet.handle();

    assertThat(fleet.rows(ALERTS)).hasSize(1);
    assertThat(
            fleet.rows(
                "select concat_ws(' ', daemon, active_workers, counts ->> 'open_tasks') from fleet.shutdowns order by checked_at"))
        .containsExactly("coordinator-daemon {w-1} 0", "pm-daemon {} 0");
  }

  @Test
  void a_request_to_start_what_handlers_do_now_is_answered_when_they_are_at_work()
      throws Exception {
    request("heartbeat-monitor-daemon");

    assertThat(
            fleet.rows(
                "select payload ->> 'handlers' from cortex.event_log where type = 'daemon.started'"))
        .containsExactly("[\"stale-workers\", \"worker-health\"]");
  }

  @Test
  void a_request_for_a_paused_one_is_an_alert_and_one_for_a_process_is_only_refused()
      throws Exception {
    fleet.run("select cortex.pause_handler('auto-fix', 'test')");
    try {
      request("auto-fix");
      request("coordinator");
    } finally {
      fleet.run("select cortex.resume_handler('auto-fix', 'test')");
    }

    assertThat(fleet.rows(ALERTS)).containsExactly("daemon_not_started auto-fix [\"auto-fix\"]");
    assertThat(
            fleet.rows(
                "select daemon from fleet.daemon_life where what = 'refused' order by daemon"))
        .containsExactly("auto-fix", "coordinator");
    assertThat(fleet.rows("select event_id from fleet.system_startups")).isEmpty();
  }

  private void started(String payload) throws Exception {
    fleet.emit(EventDraft.of("daemon.started", "a-daemon").withPayload(payload));
    fleet.handle();
  }

  private void request(String daemon) throws Exception {
    fleet.emit(
        EventDraft.of("system.daemon_start_requested", "daemon-control-wizard")
            .withPayload("{\"daemon\": \"" + daemon + "\"}"));
    fleet.handle();
  }
}
