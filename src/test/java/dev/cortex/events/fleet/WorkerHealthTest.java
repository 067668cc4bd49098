package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@ExtendWith(PostgresExtension.class)
class WorkerHealthTest {
  private static final String ALERTS =
      "select payload::text from cortex.event_log where type = 'system.health_alert' order by id";
  private static final String HEALTH =
      "select concat_ws(' ', worker_id, health, status) from fleet.workers order by worker_id";

  private final TestFleet fleet;

  WorkerHealthTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void a_heartbeat_makes_a_worker_known_and_alive() throws Exception {
    fleet.emit(beat("w-1"));
    fleet.emit(
        EventDraft.of("worker.heartbeat", "coordinator")
            .withPayload("{\"worker_id\": \"w-2\", \"status\": \"busy\", \"task_id\": null}"));

    fleet.handle();

    assertThat(fleet.rows(HEALTH)).containsExactly("w-1 alive healthy", "w-2 alive busy");
  }

  @Test
  void an_older_heartbeat_never_overwrites_a_newer_one() throws Exception {
    Instant now = Instant.now();
    fleet.emit(beat("w-1", "new", now.minusSeconds(10)));
    fleet.handle();
    fleet.emit(beat("w-1", "old", now.minusSeconds(20)));
    fleet.handle();

    assertThat(fleet.rows(HEALTH)).containsExactly("w-1 alive new");
  }

  @Test
  void a_heartbeat_from_the_future_does_not_silence_those_that_follow() throws Exception {
    fleet.emit(beat("w-1", "fast clock", Instant.now().plusSeconds(3600)));
    fleet.emit(beat("w-1", "mended", Instant.now().plusSeconds(1800)));
    fleet.handle();

    assertThat(fleet.rows(HEALTH)).containsExactly("w-1 alive mended");
  }

  @Test
  void interleaving_9_and_11_shuffled_heartbeats_give_the_same_rows_and_burn_no_attempt()
      throws Exception {
    Instant now = Instant.now();
    List<EventDraft> beats = new ArrayList<>();
    for (int i = 0; i < 4_000; i++) {
      beats.add(beat("w-" + i % 50, "beat " + i, now.minusSeconds(5_000 - i)));
    }
    Collections.shuffle(beats, new Random(7));
    fleet.emitAll(beats);

    fleet.handle(
        FleetHandlers.all().stream().map(definition -> definition.withMaxBatch(100)).toList());

    assertThat(fleet.rows("select status from fleet.worker_health order by reported_at"))
        .hasSize(50)
        .startsWith("beat 3950")
        .endsWith("beat 3999");
    assertThat(
            fleet.rows(
                "select count(*) from cortex.attempts where outcome <> 'done' or attempt > 1"))
        .containsExactly("0");
  }

  @Test
  void a_silent_worker_raises_one_alert_although_no_heartbeat_arrives_and_checks_run_at_once()
      throws Exception {
    fleet.emit(beat("w-1"));
    fleet.emit(beat("w-2"));
    fleet.handle();
    tenMinutesPassFor("w-1");

    for (int i = 0; i < 20; i++) {
      fleet.emit(EventDraft.of("worker.stale_check_requested", "test"));
    }
    fleet.handle();

    assertThat(fleet.rows(ALERTS))
        .singleElement()
        .asString()
        .contains(
            "\"alert_type\": \"stale_workers\"",
            "\"workers\": [\"w-1\"]",
            "\"threshold_seconds\": 300");
    assertThat(fleet.rows(HEALTH)).containsExactly("w-1 stale healthy", "w-2 alive healthy");
    assertThat(fleet.rows("select alert_type from fleet.alerts")).containsExactly("stale_workers");
  }

  @Test
  void a_heartbeat_ends_the_episode_and_the_next_silence_is_another_one() throws Exception {
    fleet.emit(beat("w-1"));
    fleet.handle();
    tenMinutesPassFor("w-1");
    check();
    fleet.emit(beat("w-1"));
    fleet.handle();
    assertThat(fleet.rows(HEALTH)).containsExactly("w-1 alive healthy");
    assertThat(fleet.rows("select resolved_at is not null from fleet.alert_episodes"))
        .containsExactly("t");

    tenMinutesPassFor("w-1");
    check();

    assertThat(fleet.rows(ALERTS)).hasSize(2);
  }

  @Test
  void a_worker_that_has_completed_is_not_stale() throws Exception {
    fleet.emit(beat("w-1"));
    fleet.emit(EventDraft.of("worker.completed", "w-1"));
    fleet.handle();
    tenMinutesPassFor("w-1");

    check();

    assertThat(fleet.rows(HEALTH)).containsExactly("w-1 ended completed");
    assertThat(fleet.rows(ALERTS)).isEmpty();
  }

  /** As after the daemon was stopped for ten minutes: old checks run before the heartbeats do. */
  @Test
  void nobody_is_silent_whose_heartbeats_wait_to_be_handled() throws Exception {
    fleet.emit(beat("w-1"));
    fleet.emit(beat("w-2"));
    fleet.handle();
    tenMinutesPassFor("w-1");
    tenMinutesPassFor("w-2");
    fleet.emit(beat("w-1"));
    fleet.emit(EventDraft.of("worker.stale_check_requested", "test"));
    fleet.run(
        "update cortex.deliveries d set run_at = d.run_at - interval '9 minutes' from cortex.handlers h"
            + " where h.handler_id = d.handler_id and h.name = 'worker-health';"
            + " update cortex.deliveries d set run_at = d.run_at - interval '8 minutes' from cortex.handlers h"
            + " where h.handler_id = d.handler_id and h.name = 'stale-workers'");

    fleet.handle(
        FleetHandlers.all().stream().filter(h -> h.name().equals("stale-workers")).toList());
    assertThat(fleet.rows(ALERTS)).isEmpty();

    fleet.handle();
    check();
    assertThat(fleet.rows("select worker_id from fleet.stale_episodes")).containsExactly("w-2");
  }

  /** Of workers whose reports may be in spools since then. */
  @Test
  void silence_counts_from_the_tick_after_a_missed_one() throws Exception {
    fleet.emit(beat("w-1"));
    fleet.handle();
    tenMinutesPassFor("w-1");
    fires("12 minutes", "11 minutes", "10 minutes", "1 second");
    check();
    assertThat(fleet.rows(ALERTS)).isEmpty();

    fleet.run(
        "update cortex.fires set (fire_at, fired_at) = (fire_at - interval '6 minutes', fired_at - interval '6 minutes')");
    check();
    assertThat(fleet.rows("select worker_id from fleet.stale_episodes")).containsExactly("w-1");
  }

  private void fires(String... ago) throws SQLException {
    fleet.run("delete from cortex.fires");
    for (String interval : ago) {
      fleet.run(
          """
          insert into cortex.fires (schedule, fire_at, fired_at, event_id)
          values ('stale-worker-check', now() - interval '%1$s', now() - interval '%1$s', 'evt_20260101_000000_tick')
          """
              .formatted(interval));
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"current_task\": \"\"}",
        "{\"worker_id\": \"\", \"status\": \"\"}",
        "{\"current_task\": {\"id\": 1}, \"status\": [\"busy\"]}"
      })
  void a_heartbeat_counts_whatever_it_says_beside(String payload) throws Exception {
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1").withPayload(payload));
    fleet.handle();
    assertThat(fleet.rows(HEALTH)).containsExactly("w-1 alive healthy");
    assertThat(fleet.rows("select error from cortex.audit where outcome = 'dead'")).isEmpty();
  }

  @Test
  void a_worker_id_that_is_an_object_breaks_a_rule_that_the_audit_names() throws Exception {
    fleet.emit(
        EventDraft.of("worker.heartbeat", "w-1").withPayload("{\"worker_id\": {\"id\": 1}}"));

    fleet.handle();

    assertThat(fleet.rows("select error from cortex.audit where handler = 'worker-health'"))
        .singleElement()
        .asString()
        .contains("payload.worker_id must be a string of 1 to 200 characters");
  }

  private void check() throws Exception {
    fleet.emit(EventDraft.of("worker.stale_check_requested", "test"));
    fleet.handle();
  }

  private void tenMinutesPassFor(String worker) throws SQLException {
    fleet.run(
        "update fleet.worker_health set heard_at = heard_at - interval '10 minutes',"
            + " reported_at = reported_at - interval '10 minutes',"
            + " report_received_at = report_received_at - interval '10 minutes' where worker_id = '"
            + worker
            + "'");
    fleet.run(
        "update fleet.stale_episodes set opened_at = opened_at - interval '10 minutes',"
            + " ended_at = ended_at - interval '10 minutes' where worker_id = '"
            + worker
            + "'");
  }

  private static EventDraft beat(String worker) {
    return EventDraft.of("worker.heartbeat", worker);
  }

  private static EventDraft beat(String worker, String status, Instant occurredAt) {
    return EventDraft.of("worker.heartbeat", worker)
        .withPayload("{\"status\": \"" + status + "\"}")
        .withOccurredAt(occurredAt);
  }
}
