package dev.cortex.events.worker;

import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import java.sql.SQLException;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * What a call of a handler means for its delivery. All decisions about attempts are taken here, by
 * the outcome or by SQLSTATE, never by message text.
 */
sealed interface Verdict {

  /** Effects and acknowledgement commit. */
  record Done() implements Verdict {}

  /** The effects are rolled back and the delivery goes on as the settlement says. */
  record Settle(Settlement settlement) implements Verdict {}

  /** It met a rival transaction: the same again, free of charge. */
  record Clash() implements Verdict {}

  /**
   * The database went away or is out of something: not the delivery's fault, as far as one knows.
   */
  record DatabaseGone(SQLException error) implements Verdict {}

  /** The worker stops and the handler has obeyed: the lease goes back, free of charge. */
  record GivenBack() implements Verdict {}

  /** The lease is lost and so is the attempt: whoever leases the delivery next charges it. */
  record Forfeited() implements Verdict {}

  /**
   * Judges a call.
   *
   * @param attempt the number of this attempt, from 1
   */
  static Verdict of(HandlerCall.Result result, int attempt, RetryPolicy policy) {
    if (result instanceof HandlerCall.Returned returned) {
      return ofOutcome(returned.outcome(), attempt, policy);
    }
    HandlerCall.Threw threw = (HandlerCall.Threw) result;
    return threw.isForeign()
        ? charged("handler_failed", threw.failure(), attempt, policy)
        : ofFailure(threw.failure(), attempt, policy);
  }

  /**
   * Judges a call under a lease. An outcome is recorded if the fence allows it. What is thrown was
   * thrown outside of any transaction of the engine's: so a database that the handler lost was a
   * connection of its own, and an attempt is charged.
   *
   * @param state how the lease stood when the handler ended
   */
  static Verdict ofLeased(
      HandlerCall.Result result, HeldLease.State state, int attempt, RetryPolicy policy) {
    if (!(result instanceof HandlerCall.Threw threw)) {
      return of(result, attempt, policy);
    }
    return switch (state) {
      case HELD ->
          switch (threw.failure().kind()) {
            case INVALID_EVENT, EMITTED_TOO_MUCH -> ofFailure(threw.failure(), attempt, policy);
            case INTERRUPTED, OTHER -> charged("handler_failed", threw.failure(), attempt, policy);
          };
      case RECALLED -> new GivenBack();
      case OVERRAN -> ofOverrunLease(attempt, policy);
      case LOST -> new Forfeited();
    };
  }

  /** A leased handler took longer than it may. */
  static Verdict ofOverrunLease(int attempt, RetryPolicy policy) {
    return new Settle(
        charge("time_budget", "the handler took longer than its time budget", attempt, policy));
  }

  /** Charges what is at fault after all. */
  static Verdict ofStrikes(Strikes.Charge charge, int attempt, RetryPolicy policy) {
    return new Settle(charge(charge.reason, charge.error, attempt, policy));
  }

  private static Verdict ofOutcome(Outcome outcome, int attempt, RetryPolicy policy) {
    if (outcome instanceof Outcome.Done) {
      return new Done();
    } else if (outcome instanceof Outcome.Retry retry) {
      Duration delay = retry.delay().orElseGet(() -> delayAfter(attempt, policy));
      return new Settle(failed("handler_retry", retry.error(), delay, attempt, policy));
    } else if (outcome instanceof Outcome.Snooze snooze) {
      return new Settle(Settlement.snooze("handler_snooze", snooze.delay()));
    } else if (outcome instanceof Outcome.Dead dead) {
      return new Settle(Settlement.dead("handler_dead", dead.error()));
    }
    return new Settle(Settlement.cancel(((Outcome.Cancel) outcome).reason()));
  }

  /** Judges an error that a transaction of the engine's met with. */
  static Verdict ofError(SQLException error, int attempt, RetryPolicy policy) {
    return ofFailure(Failure.of(error), attempt, policy);
  }

  private static Verdict ofFailure(Failure failure, int attempt, RetryPolicy policy) {
    return switch (failure.kind()) {
      // As if the connection had been taken from it.
      case INTERRUPTED -> new DatabaseGone(new SQLException("the worker stops", "57P01"));
      case EMITTED_TOO_MUCH -> charged("emitted_too_much", failure, attempt, policy);
      case INVALID_EVENT -> new Settle(Settlement.dead("invalid_event", failure.description()));
      case OTHER -> ofFault(failure, attempt, policy);
    };
  }

  private static Verdict ofFault(Failure failure, int attempt, RetryPolicy policy) {
    return switch (failure.fault()) {
      case CONTENTION -> new Clash();
      case CONNECTION_LOST, EXHAUSTED -> new DatabaseGone(failure.asAbsence());
      case TRANSACTION_TIMEOUT -> charged("transaction_timeout", failure, attempt, policy);
      case STATEMENT_CANCELLED -> charged("statement_cancelled", failure, attempt, policy);
      case REJECTED, ACCESS_DENIED, OTHER -> charged("handler_failed", failure, attempt, policy);
    };
  }

  private static Verdict charged(String reason, Failure failure, int attempt, RetryPolicy policy) {
    return new Settle(charge(reason, failure.description(), attempt, policy));
  }

  /** Charges an attempt by the policy: retry, or dead after the last one. */
  static Settlement charge(String reason, String error, int attempt, RetryPolicy policy) {
    return failed(reason, error, delayAfter(attempt, policy), attempt, policy);
  }

  private static Settlement failed(
      String reason, String error, Duration delay, int attempt, RetryPolicy policy) {
    return policy.isSpent(attempt)
        ? Settlement.dead(reason, error)
        : Settlement.retry(reason, error, delay);
  }

  private static Duration delayAfter(int attempt, RetryPolicy policy) {
    return policy.delayAfter(attempt, ThreadLocalRandom.current().nextDouble());
  }
}
