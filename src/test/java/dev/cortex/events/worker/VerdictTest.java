package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.delivery.Settlement.Next;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import java.sql.SQLException;
import java.sql.SQLTransientConnectionException;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What becomes of a delivery, by its outcome or by SQLSTATE. */
class VerdictTest {
  private static final RetryPolicy POLICY =
      RetryPolicy.defaults()
          .withMaxAttempts(3)
          .withDelays(Duration.ofSeconds(8), Duration.ofSeconds(32));

  @Test
  void done_is_done() {
    assertThat(returned(Outcome.done(), 1)).isInstanceOf(Verdict.Done.class);
  }

  @Test
  void retry_charges_and_comes_back_after_the_delay_of_the_policy() {
    Settlement settlement = settled(returned(Outcome.retry("no luck"), 2));
    assertThat(settlement.outcome()).isEqualTo("retry");
    assertThat(settlement.reason()).isEqualTo("handler_retry");
    assertThat(settlement.error()).isEqualTo("no luck");
    assertThat(settlement.isCharged()).isTrue();
    assertThat(settlement.next()).isEqualTo(Next.LATER);
    assertThat(settlement.delay()).isBetween(Duration.ofSeconds(12), Duration.ofSeconds(20));
  }

  @Test
  void retry_with_a_delay_of_its_own_comes_back_after_that() {
    assertThat(settled(returned(Outcome.retryIn(Duration.ofDays(1), "closed"), 1)).delay())
        .isEqualTo(Duration.ofDays(1));
  }

  @Test
  void retry_after_the_last_attempt_is_dead() {
    Settlement settlement = settled(returned(Outcome.retry("no luck"), 3));
    assertThat(settlement.outcome()).isEqualTo("dead");
    assertThat(settlement.next()).isEqualTo(Next.DEAD);
    assertThat(settlement.isCharged()).isTrue();
  }

  @Test
  void snooze_charges_nothing_even_after_the_last_attempt() {
    Settlement settlement = settled(returned(Outcome.snooze(Duration.ofMinutes(1)), 3));
    assertThat(settlement.outcome()).isEqualTo("snooze");
    assertThat(settlement.isCharged()).isFalse();
    assertThat(settlement.next()).isEqualTo(Next.LATER);
    assertThat(settlement.delay()).isEqualTo(Duration.ofMinutes(1));
  }

  @Test
  void dead_is_dead_at_the_first_attempt() {
    Settlement settlement = settled(returned(Outcome.dead("bad data"), 1));
    assertThat(settlement.next()).isEqualTo(Next.DEAD);
    assertThat(settlement.reason()).isEqualTo("handler_dead");
  }

  @Test
  void cancel_leaves_no_delivery() {
    Settlement settlement = settled(returned(Outcome.cancel("not needed"), 1));
    assertThat(settlement.outcome()).isEqualTo("cancel");
    assertThat(settlement.next()).isEqualTo(Next.GONE);
  }

  @Test
  void whatever_a_handler_throws_charges() {
    Settlement settlement = settled(threw(new StackOverflowError("deep"), 1));
    assertThat(settlement.outcome()).isEqualTo("retry");
    assertThat(settlement.reason()).isEqualTo("handler_failed");
    assertThat(settlement.error()).isEqualTo("java.lang.StackOverflowError: deep");
    assertThat(settled(threw(new IllegalStateException(), 3)).next()).isEqualTo(Next.DEAD);
  }

  @ParameterizedTest
  @ValueSource(strings = {"40001", "40P01", "55P03"})
  void interleaving_11_contention_is_a_clash_however_deep_it_is_wrapped(String state) {
    assertThat(threw(sql(state), 1)).isInstanceOf(Verdict.Clash.class);
    assertThat(threw(new IllegalStateException(new RuntimeException(sql(state))), 1))
        .isInstanceOf(Verdict.Clash.class);
  }

  @ParameterizedTest
  @ValueSource(strings = {"08006", "57P01", "57P03", "25006", "53100", "58030"})
  void a_database_that_went_away_or_is_out_of_something_charges_nothing(String state) {
    assertThat(threw(new RuntimeException(sql(state)), 1))
        .isInstanceOfSatisfying(
            Verdict.DatabaseGone.class,
            gone -> {
              assertThat(gone.error().getSQLState()).isEqualTo(state);
              assertThat(gone.error().getMessage()).endsWith("state " + state);
            });
  }

  @Test
  void a_pool_without_a_connection_charges_nothing() {
    assertThat(threw(new SQLTransientConnectionException("no connection in time"), 1))
        .isInstanceOf(Verdict.DatabaseGone.class);
  }

  @Test
  void a_handler_that_obeys_the_end_of_the_worker_is_charged_nothing() {
    assertThat(threw(new InterruptedException(), 1)).isInstanceOf(Verdict.DatabaseGone.class);
  }

  @ParameterizedTest
  @CsvSource({
    "25P03, transaction_timeout",
    "25P04, transaction_timeout",
    "57014, statement_cancelled",
    "23505, handler_failed",
    "22P05, handler_failed",
    "42501, handler_failed",
    "42601, handler_failed"
  })
  void what_the_event_or_the_handler_did_charges_with_a_name(String state, String reason) {
    assertThat(settled(threw(sql(state), 1)).reason()).isEqualTo(reason);
  }

  private static Verdict returned(Outcome outcome, int attempt) {
    return Verdict.of(new HandlerCall.Returned(outcome), attempt, POLICY);
  }

  private static Verdict threw(Throwable error, int attempt) {
    return Verdict.of(new HandlerCall.Threw(Failure.of(error), false), attempt, POLICY);
  }

  private static Settlement settled(Verdict verdict) {
    assertThat(verdict).isInstanceOf(Verdict.Settle.class);
    return ((Verdict.Settle) verdict).settlement();
  }

  private static SQLException sql(String state) {
    return new SQLException("state " + state, state);
  }
}
