package dev.cortex.events.handler;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import org.junit.jupiter.api.Test;

/** What a handler may say: nothing that the engine could not record. */
class OutcomeTest {

  @Test
  void a_message_may_be_missing_as_that_of_many_exceptions_is() {
    String missing = new NullPointerException().getMessage();
    assertThat(Outcome.retry(missing)).isEqualTo(Outcome.retry(""));
    assertThat(Outcome.retryIn(Duration.ofSeconds(1), missing))
        .isEqualTo(Outcome.retryIn(Duration.ofSeconds(1), ""));
    assertThat(Outcome.dead(missing)).isEqualTo(Outcome.dead(""));
    assertThat(Outcome.cancel(missing)).isEqualTo(Outcome.cancel(""));
  }

  @Test
  void a_delay_is_positive_and_at_most_ten_years() {
    refused(() -> Outcome.snooze(Duration.ZERO), "snooze delay must be positive, was PT0S");
    refused(
        () -> Outcome.retryIn(Duration.ofSeconds(-1), "x"),
        "retry delay must be positive, was PT-1S");
    Duration forEver = Duration.ofSeconds(Long.MAX_VALUE);
    refused(
        () -> Outcome.snooze(forEver), "snooze delay must be at most 3650 days, was " + forEver);
    refused(
        () -> Outcome.retryIn(forEver, "x"),
        "retry delay must be at most 3650 days, was " + forEver);
    assertThat(Outcome.snooze(Duration.ofDays(3650)))
        .isEqualTo(new Outcome.Snooze(Duration.ofDays(3650)));
  }

  private static void refused(Runnable call, String message) {
    assertThatThrownBy(call::run).isInstanceOf(IllegalArgumentException.class).hasMessage(message);
  }
}
