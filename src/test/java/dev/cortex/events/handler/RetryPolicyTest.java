package dev.cortex.events.handler;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** How often, and after what delays. */
class RetryPolicyTest {
  private static final double NO_JITTER = 0.5;

  private final RetryPolicy policy =
      RetryPolicy.defaults()
          .withMaxAttempts(5)
          .withDelays(Duration.ofSeconds(1), Duration.ofSeconds(10));

  @Test
  void the_delay_doubles_up_to_the_longest() {
    assertThat(
            IntStream.rangeClosed(1, 6)
                .mapToObj(failed -> policy.delayAfter(failed, NO_JITTER).toSeconds()))
        .containsExactly(1L, 2L, 4L, 8L, 10L, 10L);
  }

  @Test
  void jitter_is_a_quarter_either_way() {
    assertThat(policy.delayAfter(3, 0)).isEqualTo(Duration.ofSeconds(3));
    assertThat(policy.delayAfter(3, 0.999_999_9)).isEqualTo(Duration.ofSeconds(5));
  }

  @Test
  void a_thousand_failures_do_not_overflow() {
    assertThat(
            RetryPolicy.defaults()
                .withDelays(Duration.ofHours(1), Duration.ofDays(3650))
                .delayAfter(1000, NO_JITTER))
        .isEqualTo(Duration.ofDays(3650));
  }

  @Test
  void a_fixed_delay_is_the_same_every_time() {
    RetryPolicy fixed = policy.withFixedDelay(Duration.ofMinutes(1));
    assertThat(IntStream.of(1, 2, 500).mapToObj(failed -> fixed.delayAfter(failed, 0)))
        .containsOnly(Duration.ofMinutes(1));
  }

  @Test
  void the_last_delay_of_a_list_counts_for_all_later_attempts() {
    RetryPolicy listed = policy.withDelayList(Duration.ofSeconds(5), Duration.ofMinutes(1));
    assertThat(IntStream.of(1, 2, 3, 500).mapToObj(failed -> listed.delayAfter(failed, 0)))
        .containsExactly(
            Duration.ofSeconds(5),
            Duration.ofMinutes(1),
            Duration.ofMinutes(1),
            Duration.ofMinutes(1));
  }

  @Test
  void an_event_is_too_old_beyond_the_maximum_age() {
    RetryPolicy young = policy.withMaxAge(Duration.ofHours(1));
    assertThat(young.isTooOld(Duration.ofHours(1))).isFalse();
    assertThat(young.isTooOld(Duration.ofHours(1).plusMillis(1))).isTrue();
    assertThat(policy.isTooOld(Duration.ofDays(3650))).as("any age").isFalse();
  }

  @Test
  void it_is_spent_after_the_last_attempt() {
    assertThat(policy.isSpent(4)).isFalse();
    assertThat(policy.isSpent(5)).isTrue();
    assertThat(policy.withMaxAttempts(1).isSpent(1)).isTrue();
  }

  @Test
  void the_defaults_take_nine_hours_until_the_dead_letter() {
    RetryPolicy defaults = RetryPolicy.defaults();
    Duration total =
        IntStream.range(1, defaults.maxAttempts())
            .mapToObj(failed -> defaults.delayAfter(failed, NO_JITTER))
            .reduce(Duration.ZERO, Duration::plus);
    assertThat(total).isBetween(Duration.ofHours(8), Duration.ofHours(10));
  }

  @Test
  void an_impossible_policy_cannot_exist() {
    refused(() -> policy.withMaxAttempts(0), "maxAttempts must be 1 to 1000, was 0");
    refused(() -> policy.withMaxAttempts(1001), "maxAttempts must be 1 to 1000, was 1001");
    refused(
        () -> policy.withDelays(Duration.ZERO, Duration.ofSeconds(1)),
        "firstDelay must be at least a millisecond, was PT0S");
    refused(
        () -> policy.withDelays(Duration.ofSeconds(2), Duration.ofSeconds(1)),
        "longestDelay must be at least the first (PT2S), was PT1S");
    refused(
        () -> policy.withDelays(Duration.ofSeconds(2), Duration.ofDays(3651)),
        "longestDelay must be at most 3650 days, was PT87624H");
    refused(
        () -> policy.withFixedDelay(Duration.ofSeconds(-1)),
        "fixedDelay must be at least a millisecond, was PT-1S");
    refused(() -> policy.withDelayList(), "delayList must have a delay, was empty");
    refused(
        () -> policy.withDelayList(Duration.ofSeconds(1), Duration.ZERO),
        "delayList must be at least a millisecond, was PT0S");
    refused(
        () -> policy.withMaxAge(Duration.ZERO), "maxAge must be 1 second to 3650 days, was PT0S");
    refused(
        () -> policy.withMaxAge(Duration.ofDays(3651)),
        "maxAge must be 1 second to 3650 days, was PT87624H");
  }

  private static void refused(Runnable call, String message) {
    assertThatThrownBy(call::run).isInstanceOf(IllegalArgumentException.class).hasMessage(message);
  }
}
