package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import java.sql.SQLException;
import java.util.List;
import java.util.Set;
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
  void neither_asking_nor_the_clock_nor_an_event_of_six_minutes_ago_makes_it_active()
      throws Exception {
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1"));
    fleet.handle();
    fleet.asSuperuser("update cortex.events set received_at = received_at - interval '6 minutes'");
    fleet.tick("stale-worker-check");
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

  /** What has ended within 90 days is not read, however much it is. */
  @Test
  void a_start_up_and_a_shut_down_look_at_open_tasks_only() throws Exception {
    fleet.run(
        "insert into fleet.tasks (task_id, state, received_at)"
            + " select 't-' || n, 'completed', now() from generate_series(1, 20000) n");
    fleet.run(
        "insert into fleet.task_steps (task_id, step, happened_at, event_id, received_at, worker_id)"
            + " select 't-' || n, step, now(), 'e-' || n || step, now(), 'w-' || n"
            + " from generate_series(1, 20000) n, unnest('{assigned,completed}'::text[]) step");
    fleet.emit(
        EventDraft.of("task.assigned", "me")
            .withPayload("{\"task_id\": \"open\", \"worker_id\": \"w-open\"}"));
    fleet.handle();
    fleet.run("analyze fleet.tasks");
    fleet.run("analyze fleet.task_steps");
    for (String statement : List.of(StartUps.RECORD, ShutDowns.RECORD, ShutDowns.ACTIVE_WORKERS)) {
      assertThat(String.join("\n", fleet.rows("explain " + statement.replace("?", "null"))))
          .contains("tasks_open")
          .doesNotContain("Seq Scan on tasks", "Seq Scan on task_steps");
    }

    fleet.emit(EventDraft.of("daemon.stopped", "coordinator"));
    started("{\"daemon\": \"coordinator\", \"disk_free_mb\": 1024}");

    assertThat(fleet.rows("select counts ->> 'open_tasks' from fleet.startups"))
        .containsExactly("1");
    assertThat(fleet.rows("select active_workers::text from fleet.shutdowns"))
        .containsExactly("{w-open}");
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

  @Test
  void a_daemon_that_is_handlers_runs_only_while_a_worker_that_lives_runs_each_of_them()
      throws Exception {
    String state =
        "select concat_ws(' ', state, reason) from fleet.event_daemons where daemon = 'auto-fix'";
    String worker =
        "insert into cortex.workers (name, version, handlers)"
            + " select 'test', '1', array_agg(handler_id) from cortex.handlers where name %s 'auto-fix'";
    fleet.run(worker.formatted("<>"));
    try {
      assertThat(fleet.rows(state)).containsExactly("stopped no worker runs its handler auto-fix");

      fleet.run(worker.formatted("="));
      assertThat(fleet.rows(state)).containsExactly("running ");
    } finally {
      fleet.run("delete from cortex.workers where name = 'test'");
    }

    fleet.handle(only("worker-health", "stale-workers", "daemon-starts"));
    fleet.emit(
        EventDraft.of("system.daemon_start_requested", "me")
            .withPayload("{\"daemon\": \"auto-fix\"}"));
    fleet.handle(only("worker-health", "stale-workers", "daemon-starts"));
    assertThat(
            fleet.rows(
                "select concat_ws(' ', what, reason) from fleet.daemon_life order by event_id"))
        .containsExactlyInAnyOrder("requested", "refused no worker runs its handler auto-fix");
  }

  private static List<HandlerDefinition> only(String... names) {
    return FleetHandlers.all().stream().filter(one -> Set.of(names).contains(one.name())).toList();
  }

  @Test
  void the_life_of_daemons_is_found_without_reading_the_log() throws Exception {
    fleet.run(
        "insert into cortex.events (type, source, log_only)"
            + " select 'worker.heartbeat', 'w', true from generate_series(1, 20000)");
    fleet.emit(EventDraft.of("daemon.started", "pm").withPayload("{\"daemon\": \"pm\"}"));
    fleet.run("analyze cortex.events");
    String month = fleet.rows("select to_char(now() at time zone 'UTC', 'YYYY_MM')").get(0);

    for (String question :
        List.of(
            "select * from fleet.daemon_life order by happened_at desc limit 20",
            "select * from fleet.daemon_life where daemon = 'pm' order by happened_at desc limit 10",
            "select * from fleet.daemons")) {
      assertThat(String.join("\n", fleet.rows("explain " + question)))
          .as(question)
          .contains("occurred_at_idx")
          .doesNotContain("Seq Scan on events_" + month);
    }
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
