package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import java.sql.SQLException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class WorkerRestartsTest {
  private static final String REQUESTS =
      "select concat_ws(' ', payload ->> 'worker_id', payload ->> 'reason', payload ->> 'restart')"
          + " from cortex.event_log where type = 'worker.restart_requested' order by id";
  private static final String ALERTS =
      "select concat_ws(' ', payload ->> 'alert_type', payload ->> 'subject')"
          + " from cortex.event_log where type = 'system.health_alert' order by id";

  private final TestFleet fleet;

  WorkerRestartsTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void a_failed_worker_is_asked_for_anew() throws Exception {
    fleet.emit(EventDraft.of("worker.failed", "w-1"));
    fleet.handle();

    assertThat(fleet.rows(REQUESTS)).containsExactly("w-1 failed 1");
  }

  @Test
  void every_worker_of_an_alert_about_stale_ones_is_asked_for_and_other_alerts_ask_for_none()
      throws Exception {
    fleet.emit(alert("{\"alert_type\": \"stale_workers\", \"workers\": [null, \"w-2\", \"w-1\"]}"));
    fleet.emit(alert("{\"alert_type\": \"disk\", \"workers\": [\"w-3\"]}"));
    fleet.handle();

    assertThat(fleet.rows(REQUESTS)).containsExactly("w-1 stale 1", "w-2 stale 1");
  }

  @Test
  void a_fourth_restart_within_the_hour_is_an_alert_instead_told_once() throws Exception {
    for (int i = 0; i < 6; i++) {
      fleet.emit(EventDraft.of("worker.failed", "w-1"));
      fleet.handle();
    }

    assertThat(fleet.rows(REQUESTS))
        .containsExactly("w-1 failed 1", "w-1 failed 2", "w-1 failed 3");
    assertThat(fleet.rows(ALERTS)).containsExactly("restart_limit_reached w-1");
  }

  @Test
  void a_limit_of_0_asks_for_none_and_alerts_of_none() throws Exception {
    fleet.run("update fleet.settings set restart_limit = 0");
    try {
      fleet.emit(EventDraft.of("worker.failed", "w-1"));
      fleet.handle();
    } finally {
      fleet.run("update fleet.settings set restart_limit = default");
    }

    assertThat(fleet.rows(REQUESTS)).isEmpty();
    assertThat(fleet.rows(ALERTS)).isEmpty();
  }

  @Test
  void restarts_of_more_than_an_hour_ago_do_not_count() throws Exception {
    for (int i = 0; i < 3; i++) {
      fleet.emit(EventDraft.of("worker.failed", "w-1"));
    }
    fleet.handle();
    fleet.run(
        "update fleet.restarts set requested_at ="
            + " array(select moment - interval '61 minutes' from unnest(requested_at[1:2]) moment) || requested_at[3]");

    fleet.emit(EventDraft.of("worker.failed", "w-1"));
    fleet.handle();

    assertThat(fleet.rows(REQUESTS)).last().isEqualTo("w-1 failed 2");
    assertThat(fleet.rows(ALERTS)).isEmpty();
  }

  private static EventDraft alert(String payload) {
    return EventDraft.of("system.health_alert", "monitor").withPayload(payload);
  }
}
