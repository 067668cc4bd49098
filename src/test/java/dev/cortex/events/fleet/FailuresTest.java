package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What becomes of task.failed: patterns and their alerts, and new tries. */
@ExtendWith(PostgresExtension.class)
class FailuresTest {
  private static final String ALERTS =
      "select concat_ws(' ', payload ->> 'alert_type', payload ->> 'subject', payload ->> 'occurrences')"
          + " from cortex.event_log where type = 'system.health_alert' order by id";
  private static final String TRIES =
      "select concat_ws(' ', payload ->> 'task_id', payload ->> 'retry', round(extract(epoch from run_at - received_at)))"
          + " from cortex.event_log where type = 'task.created' and source = 'auto-fix' order by id";

  private final TestFleet fleet;

  FailuresTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void three_failures_of_a_kind_raise_no_alert_and_the_fourth_does() throws Exception {
    for (int i = 1; i <= 3; i++) {
      fail("t-" + i, "syntax_error", Duration.ofMinutes(i));
    }
    fleet.handle();
    assertThat(fleet.rows(ALERTS)).isEmpty();

    fail("t-4", "syntax_error", Duration.ZERO);
    fleet.handle();

    assertThat(fleet.rows(ALERTS)).containsExactly("failure_pattern syntax_error 4");
  }

  @Test
  void what_is_worth_a_new_try_is_known_in_whatever_case() throws Exception {
    fleet.run("update fleet.settings set fix_errors = '{Rate_Limit}'");
    try {
      fail("t-1", "RATE_LIMIT", Duration.ZERO);
      fleet.handle();
    } finally {
      fleet.run("update fleet.settings set fix_errors = default");
    }

    assertThat(fleet.rows(TRIES)).containsExactly("t-1 1 30");
  }

  @Test
  void a_new_try_has_the_priority_of_what_failed() throws Exception {
    fleet.emit(
        EventDraft.of("task.failed", "w-1")
            .withPayload("{\"task_id\": \"t-1\", \"error_type\": \"timeout\"}")
            .withPriority(Priority.CRITICAL));
    fail("t-2", "timeout", Duration.ZERO);
    fleet.handle();

    assertThat(
            fleet.rows(
                "select payload ->> 'task_id' || ' ' || coalesce(priority::text, 'medium')"
                    + " from cortex.event_log where type = 'task.created' and source = 'auto-fix' order by 1"))
        .containsExactly("t-1 critical", "t-2 medium");
  }

  @Test
  void a_pattern_that_goes_on_is_counted_and_not_told_again() throws Exception {
    for (int i = 1; i <= 9; i++) {
      fail("t-" + i, "syntax_error", Duration.ZERO);
      fleet.handle();
    }

    assertThat(fleet.rows(ALERTS)).hasSize(1);
    assertThat(
            fleet.rows(
                "select concat_ws(' ', alert_type, subject, repeated, closed_at) from fleet.alert_episodes"))
        .containsExactly("failure_pattern syntax_error 5");
  }

  @Test
  void after_an_hour_without_one_the_next_pattern_is_another_episode() throws Exception {
    for (int i = 1; i <= 4; i++) {
      fail("t-" + i, "syntax_error", Duration.ZERO);
    }
    fleet.handle();
    fleet.run(
        "update fleet.episodes set opened_at = opened_at - interval '2 hours',"
            + " last_seen_at = last_seen_at - interval '2 hours'");
    fleet.run("update fleet.alerts set raised_at = raised_at - interval '2 hours'");
    assertThat(
            fleet.rows(
                "select closed_at - last_raised_at from fleet.alert_episodes where closed_at < now()"))
        .containsExactly("01:00:00");

    fail("t-5", "syntax_error", Duration.ZERO);
    fleet.handle();

    assertThat(fleet.rows(ALERTS))
        .containsExactly("failure_pattern syntax_error 4", "failure_pattern syntax_error 5");
    assertThat(fleet.rows("select ended_at is null from fleet.episodes order by opened_at"))
        .containsExactly("f", "t");
    assertThat(fleet.rows("select closed_at is null from fleet.alert_episodes order by opened_at"))
        .containsExactly("f", "t");
  }

  @Test
  void failures_of_other_kinds_and_outside_of_the_window_do_not_count() throws Exception {
    fail("t-1", "syntax_error", Duration.ofMinutes(61));
    fail("t-2", "syntax_error", Duration.ofMinutes(2));
    fail("t-3", "Syntax_Error", Duration.ofMinutes(1));
    fail("t-4", "timeout", Duration.ofMinutes(1));
    fail("t-5", "syntax_error", Duration.ZERO);
    fleet.handle();

    assertThat(fleet.rows(ALERTS)).isEmpty();
    assertThat(
            fleet.rows(
                "select concat_ws(' ', error_type, failures) from fleet.failure_kinds order by 1"))
        .containsExactly("syntax_error 4", "timeout 1");
  }

  @Test
  void a_pattern_among_older_failures_is_found_when_its_last_one_is_heard_of() throws Exception {
    fail("t-late", "syntax_error", Duration.ZERO);
    fleet.handle();
    for (int i = 1; i <= 4; i++) {
      fail("t-" + i, "syntax_error", Duration.ofMinutes(180 + i));
      fleet.handle();
    }

    assertThat(fleet.rows(ALERTS)).containsExactly("failure_pattern syntax_error 4");
  }

  @Test
  void the_limit_and_the_window_are_settings() throws Exception {
    fleet.run("update fleet.settings set failure_limit = 1, failure_window = '5 minutes'");
    try {
      fail("t-1", "syntax_error", Duration.ofMinutes(6));
      fail("t-2", "syntax_error", Duration.ZERO);
      fleet.handle();
      assertThat(fleet.rows(ALERTS)).isEmpty();

      fail("t-3", "syntax_error", Duration.ofMinutes(4));
      fleet.handle();
      assertThat(fleet.rows(ALERTS)).hasSize(1);
    } finally {
      fleet.run("update fleet.settings set failure_limit = default, failure_window = default");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "timeout, 1",
    "connection_error, 1",
    "rate_limit, 1",
    "RATE_LIMIT, 1",
    "syntax_error, 0",
    "unknown, 0"
  })
  void errors_that_pass_are_tried_again_later_and_others_are_not(String errorType, int tries)
      throws Exception {
    fail("t-1", errorType, Duration.ZERO);
    fleet.handle();

    assertThat(fleet.rows(TRIES)).hasSize(tries).allMatch("t-1 1 30"::equals);
  }

  @Test
  void a_new_try_is_the_failed_task_without_its_failure_and_belongs_to_the_same_correlation()
      throws Exception {
    String failed =
        fleet.emit(
            EventDraft.of("task.failed", "w-1")
                .withCorrelationId("c-1")
                .withPayload(
                    "{\"task_id\": \"t-1\", \"task_type\": \"build\", \"title\": \"Build it\", \"worker_id\": \"w-1\","
                        + " \"error_type\": \"timeout\", \"error\": \"too slow\", \"duration\": 3}"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', correlation_id, causation_id) from cortex.event_log where source = 'auto-fix'"))
        .containsExactly("c-1 " + failed);
    assertThat(fleet.rows("select payload from cortex.event_log where source = 'auto-fix'"))
        .containsExactly(
            ("{\"retry\": 1, \"title\": \"Build it\", \"task_id\": \"t-1\", \"retry_of\": \"%s\","
                    + " \"task_type\": \"build\", \"retry_limit\": 3}")
                .formatted(failed));
  }

  @Test
  void tries_wait_longer_and_longer_and_end_with_an_alert_after_three_per_correlation()
      throws Exception {
    for (int i = 1; i <= 5; i++) {
      fail("t-1", "timeout", Duration.ofHours(2L * i));
      fleet.handle();
    }

    assertThat(fleet.rows(TRIES)).containsExactly("t-1 1 30", "t-1 2 60", "t-1 3 120");
    assertThat(fleet.rows(ALERTS)).containsExactly("fix_limit_reached t-1");
  }

  @Test
  void a_try_is_never_later_than_the_longest_delay() throws Exception {
    fleet.run("update fleet.settings set fix_limit = 100");
    fleet.run("insert into fleet.fixes values ('t-1', 70, 'e', now())");
    try {
      fail("t-1", "timeout", Duration.ZERO);
      fleet.handle();
    } finally {
      fleet.run("update fleet.settings set fix_limit = default");
    }

    assertThat(fleet.rows(TRIES)).containsExactly("t-1 71 900");
  }

  private void fail(String task, String errorType, Duration ago) throws SQLException {
    fleet.emit(
        EventDraft.of("task.failed", "w-1")
            .withPayload("{\"task_id\": \"%s\", \"error_type\": \"%s\"}".formatted(task, errorType))
            .withOccurredAt(Instant.now().minus(ago)));
  }
}
