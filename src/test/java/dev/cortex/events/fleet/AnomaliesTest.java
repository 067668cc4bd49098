package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import java.sql.SQLException;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class AnomaliesTest {
  private static final String ALERTS =
      "select concat_ws(' ', payload ->> 'alert_type', payload ->> 'subject') from cortex.event_log"
          + " where type = 'system.health_alert' order by id";

  private final TestFleet fleet;

  AnomaliesTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void events_are_counted_by_type_and_minute_with_their_durations() throws Exception {
    for (int i = 1; i <= 3; i++) {
      fleet.emit(
          EventDraft.of("task.completed", "w-1").withPayload("{\"duration_ms\": " + i + "}"));
    }
    for (String duration : List.of("\"long\"", "1e12")) {
      fleet.emit(
          EventDraft.of("task.completed", "w-1").withPayload("{\"duration\": " + duration + "}"));
    }
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', type, sum(events), sum(timed), sum(total_duration_ms), max(max_duration_ms))"
                    + " from fleet.metrics where type = 'task.completed' group by type"))
        .containsExactly("task.completed 5 3 6 3");
  }

  @Test
  void a_steady_rate_with_ordinary_noise_is_no_anomaly_in_a_thousand_types() throws Exception {
    history(1, 26, "'noise-' || n", "100 + (hashtext(n || ' ' || i) % 25)", "1, 1000", 1000);
    check();

    assertThat(fleet.rows(ALERTS)).isEmpty();
  }

  @Test
  void a_rate_that_doubles_for_two_intervals_is_told_once_and_over_when_it_is_as_before()
      throws Exception {
    history(3, 26, "'task.created'", "100 + i % 7", "0, 0", 1);
    history(1, 2, "'task.created'", "250", "0, 0", 1);
    check();
    check();
    assertThat(fleet.rows(ALERTS)).containsExactly("anomaly rate of task.created");

    fleet.run("update fleet.metrics set events = 100 where type = 'task.created'");
    check();
    assertThat(fleet.rows("select closed_at is not null from fleet.alert_episodes"))
        .containsExactly("t");
  }

  @Test
  void one_odd_interval_a_short_history_and_a_rare_type_are_no_anomalies() throws Exception {
    history(2, 26, "'one.interval'", "100", "0, 0", 1);
    history(1, 1, "'one.interval'", "900", "0, 0", 1);
    history(3, 26, "'rare.type'", "1", "0, 0", 1);
    history(1, 2, "'rare.type'", "15", "0, 0", 1);
    check();
    assertThat(fleet.rows(ALERTS)).isEmpty();

    fleet.run("delete from fleet.metrics");
    history(3, 12, "'short.history'", "100", "0, 0", 1);
    history(1, 2, "'short.history'", "900", "0, 0", 1);
    check();
    assertThat(fleet.rows(ALERTS)).isEmpty();
  }

  @Test
  void a_type_that_falls_silent_deviates() throws Exception {
    history(3, 26, "'worker.heartbeat'", "100", "0, 0", 1);
    check();

    assertThat(fleet.rows(ALERTS)).containsExactly("anomaly rate of worker.heartbeat");
  }

  @Test
  void a_mean_duration_that_triples_for_two_intervals_is_told() throws Exception {
    history(3, 26, "'task.completed'", "100", "100, 100 * (1000 + i)", 1);
    history(1, 2, "'task.completed'", "100", "100, 100 * 3000", 1);
    check();

    assertThat(
            fleet.rows(
                "select payload ->> 'message' from cortex.event_log where type = 'system.health_alert'"))
        .containsExactly("duration of task.completed is 3000, usually 1014.5");
  }

  /** Rows of the intervals from first to last back from now: of i-th interval and n-th type. */
  private void history(int first, int last, String type, String events, String durations, int types)
      throws SQLException {
    fleet.run(
        """
        insert into fleet.metrics (minute, type, events, timed, total_duration_ms, max_duration_ms)
        select date_bin('5 minutes', clock_timestamp(), '2000-01-01') - interval '5 minutes' * i,
               %s, %s, %s, 0
          from generate_series(%d, %d) i
         cross join generate_series(1, %d) n
        """
            .formatted(type, events, durations, first, last, types));
  }

  private void check() throws Exception {
    fleet.emit(EventDraft.of("system.anomaly_check_requested", "test"));
    fleet.handle();
    assertThat(
            fleet.rows(
                "select concat_ws(' ', outcome, attempt, error) from cortex.audit where handler = 'anomalies'"))
        .isNotEmpty()
        .containsOnly("done 1");
  }
}
