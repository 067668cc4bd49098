package dev.cortex.events.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CronExpressionTest {
  private static final Instant TICK = Instant.parse("2026-03-01T00:05:00Z");

  @Test
  void the_next_tick_is_after_the_moment_and_the_last_one_may_be_it() {
    CronExpression cron = CronExpression.parse("s", "*/5 * * * *", "UTC");

    assertThat(cron.nextAfter(TICK)).contains(TICK.plusSeconds(300));
    assertThat(cron.nextAfter(TICK.minusNanos(1000))).contains(TICK);
    assertThat(cron.lastUntil(TICK)).contains(TICK);
    assertThat(cron.lastUntil(TICK.plusNanos(1000))).contains(TICK);
    assertThat(cron.lastUntil(TICK.minusNanos(1000))).contains(TICK.minusSeconds(300));
  }

  @Test
  void sunday_is_0_and_7() {
    Optional<Instant> sunday = Optional.of(Instant.parse("2026-03-01T02:00:00Z"));

    assertThat(CronExpression.parse("s", "0 2 * * 0", "UTC").nextAfter(TICK)).isEqualTo(sunday);
    assertThat(CronExpression.parse("s", "0 2 * * 7", "UTC").nextAfter(TICK)).isEqualTo(sunday);
  }

  @Test
  void a_time_of_day_that_daylight_saving_skips_has_no_tick_that_day() {
    CronExpression cron = CronExpression.parse("s", "30 2 * * *", "America/New_York");

    assertThat(cron.nextAfter(Instant.parse("2026-03-07T17:00:00Z")))
        .contains(Instant.parse("2026-03-09T06:30:00Z"));
  }

  @Test
  void a_time_of_day_that_daylight_saving_repeats_has_one_tick_that_day() {
    CronExpression cron = CronExpression.parse("s", "30 1 * * *", "America/New_York");
    Instant tick = Instant.parse("2026-11-01T05:30:00Z");

    assertThat(cron.nextAfter(Instant.parse("2026-10-31T17:00:00Z"))).contains(tick);
    assertThat(cron.nextAfter(tick)).contains(Instant.parse("2026-11-02T06:30:00Z"));
  }

  @Test
  void ticks_within_a_skipped_hour_are_left_out_and_those_around_it_are_not() {
    CronExpression cron = CronExpression.parse("s", "*/30 * * * *", "America/New_York");
    // Clocks go from 02:00 to 03:00 at 07:00 UTC.
    assertThat(ticks(cron, "2026-03-08T06:00:00Z", 4))
        .containsExactly(
            "2026-03-08T06:30:00Z",
            "2026-03-08T07:00:00Z",
            "2026-03-08T07:30:00Z",
            "2026-03-08T08:00:00Z");
  }

  @Test
  void ticks_of_every_half_hour_come_in_both_passes_of_a_repeated_hour() {
    CronExpression cron = CronExpression.parse("s", "*/30 * * * *", "America/New_York");
    // Clocks go from 02:00 back to 01:00 at 06:00 UTC.
    assertThat(ticks(cron, "2026-11-01T05:00:00Z", 4))
        .containsExactly(
            "2026-11-01T05:30:00Z",
            "2026-11-01T06:00:00Z",
            "2026-11-01T06:30:00Z",
            "2026-11-01T07:00:00Z");
  }

  @Test
  void the_weekly_cleanup_by_utc_knows_no_daylight_saving() {
    CronExpression cron = CronExpression.parse("s", "0 2 * * 0", "UTC");
    assertThat(ticks(cron, "2026-03-02T00:00:00Z", 2))
        .containsExactly("2026-03-08T02:00:00Z", "2026-03-15T02:00:00Z");
  }

  private static List<String> ticks(CronExpression cron, String after, int count) {
    List<String> ticks = new ArrayList<>();
    Instant last = Instant.parse(after);
    for (int i = 0; i < count; i++) {
      last = cron.nextAfter(last).orElseThrow();
      ticks.add(last.toString());
    }
    return ticks;
  }

  @Test
  void a_date_that_never_comes_has_no_tick() {
    assertThat(CronExpression.parse("s", "0 0 30 2 *", "UTC").nextAfter(TICK)).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "hourly", "* * * *", "61 * * * *", "* * * * * *", "@daily"})
  void what_is_no_expression_is_refused_with_schedule_field_rule_and_value(String cron) {
    assertThatThrownBy(() -> CronExpression.parse("s", cron, "UTC"))
        .isInstanceOf(InvalidScheduleException.class)
        .hasMessageStartingWith("schedule s refused: cron must be five fields (")
        .hasMessageEndingWith(", was \"" + cron + "\"");
  }

  @Test
  void a_zone_that_nobody_knows_is_refused() {
    assertThatThrownBy(() -> CronExpression.parse("s", "* * * * *", "Europe/Nowhere"))
        .hasMessage("schedule s refused: zone must be a time zone, was \"Europe/Nowhere\"");
  }
}
