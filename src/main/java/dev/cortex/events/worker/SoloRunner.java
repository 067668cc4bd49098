package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * Runs one delivery in a transaction of its own, decides what becomes of it and records it.
 *
 * <p>The handler runs behind a savepoint. What it did is rolled back to there unless it is done,
 * the savepoint is released, and only then is the attempt charged, at top level and under the row
 * lock that is still held: so nobody else can run the delivery uncharged in between, and no
 * multixact is made.
 */
final class SoloRunner {
  /** A delivery that clashes this often in a row gives way for a while. */
  private static final int MAX_CLASHES = 5;

  private final DeliveryStore store;
  private final Acknowledger acknowledger;
  private final HandlerCall call;
  private final Caution caution;
  private final Telemetry telemetry;
  private final int workerId;

  SoloRunner(
      DeliveryStore store, HandlerCall call, Caution caution, Telemetry telemetry, int workerId) {
    this.store = store;
    this.acknowledger = new Acknowledger(store, workerId);
    this.call = call;
    this.caution = caution;
    this.telemetry = telemetry;
    this.workerId = workerId;
  }

  /** Told of each transaction that locks the delivery to run it, before it runs. */
  @FunctionalInterface
  interface Begin {
    void begin(Delivery locked) throws SQLException;
  }

  /** Runs a delivery of an earlier transaction, unless it is no longer this worker's to run. */
  void run(Session session, HandlerQueue queue, Delivery seen, Begin onBegin) throws SQLException {
    Optional<Delivery> locked = store.reclaim(session.connection(), seen);
    if (locked.isPresent()) {
      onBegin.begin(locked.get());
      runLocked(session, queue, locked.get(), onBegin);
    } else {
      leave(session, queue, seen);
    }
  }

  /** It is somebody else's; or it has no place just now, and is to be found again. */
  private static void leave(Session session, HandlerQueue queue, Delivery delivery)
      throws SQLException {
    session.connection().rollback();
    queue.marks().givenBack(List.of(delivery));
  }

  /**
   * Runs a delivery that the open transaction has locked, and ends the transaction.
   *
   * @param onBegin told of further transactions, if it clashes
   * @return whether this very transaction committed what became of it
   */
  boolean runLocked(Session session, HandlerQueue queue, Delivery locked, Begin onBegin)
      throws SQLException {
    Optional<Delivery> delivery = Optional.of(locked);
    for (int clashes = 0; delivery.isPresent(); clashes++) {
      Ended ended = runOnce(session, queue, delivery.get());
      if (ended != Ended.CLASHED) {
        return ended == Ended.HERE && clashes == 0;
      }
      session.connection().rollback();
      delivery = store.reclaim(session.connection(), locked);
      if (delivery.isPresent() && clashes >= MAX_CLASHES) {
        record(session, queue, delivery.get(), afterClashes(queue, delivery.get()));
        return false;
      } else if (delivery.isPresent()) {
        onBegin.begin(delivery.get());
      }
    }
    leave(session, queue, locked);
    return false;
  }

  /** How a run ended. */
  private enum Ended {
    /** Finished or settled by the transaction that had locked the delivery. */
    HERE,
    /** That transaction was lost; settled by another one, if the delivery still was there. */
    AFRESH,
    /** It is to be run again. */
    CLASHED
  }

  /** Handle, decide, record. */
  private Ended runOnce(Session session, HandlerQueue queue, Delivery delivery)
      throws SQLException {
    if (delivery.event().isEmpty()) {
      return settled(session, queue, delivery, Settlement.eventGone());
    } else if (session.cancelled(delivery).isPresent()) {
      return settled(session, queue, delivery, cancelled(session, delivery));
    } else if (queue.isTooOld(delivery)) {
      return settled(session, queue, delivery, Settlement.expired());
    }
    Optional<Strikes.Charge> charge = queue.strikes().out(delivery);
    if (charge.isPresent()) {
      caution.acquit(session.connection(), delivery);
      return settled(session, queue, delivery, charged(queue, delivery, charge.get()));
    }
    long start = System.nanoTime();
    Savepoint beforeHandler = session.connection().setSavepoint();
    Verdict verdict = handle(session, queue, delivery, beforeHandler);
    if (session.cancelled(delivery).isPresent()
        && !(verdict instanceof Verdict.Done || verdict instanceof Verdict.DatabaseGone)) {
      verdict = new Verdict.Settle(cancelled(session, delivery));
    }
    if (verdict instanceof Verdict.Done) {
      Duration duration = Duration.ofNanos(System.nanoTime() - start);
      queue.batchSize().succeeded(1, duration);
      telemetry.record(new EngineEvent.BatchHandled(queue.name(), 1, duration));
      return Ended.HERE;
    } else if (verdict instanceof Verdict.Clash) {
      queue.batchSize().clashed(Duration.ofNanos(System.nanoTime() - start));
      return Ended.CLASHED;
    } else if (verdict instanceof Verdict.DatabaseGone gone) {
      queue.strikes().add(delivery, Strikes.Charge.DATABASE_GONE);
      throw gone.error();
    }
    Settlement settlement = ((Verdict.Settle) verdict).settlement();
    if (undo(session, beforeHandler) && record(session, queue, delivery, settlement)) {
      queue.strikes().forget(delivery);
      return Ended.HERE;
    }
    recordAfresh(session, queue, delivery, settlement);
    return Ended.AFRESH;
  }

  private static Settlement cancelled(Session session, Delivery delivery) {
    return Settlement.cancel(session.cancelled(delivery).orElseThrow());
  }

  private Ended settled(
      Session session, HandlerQueue queue, Delivery delivery, Settlement settlement)
      throws SQLException {
    return record(session, queue, delivery, settlement) ? Ended.HERE : Ended.CLASHED;
  }

  /** Runs the handler and, when it is done, acknowledges and commits. */
  private Verdict handle(
      Session session, HandlerQueue queue, Delivery delivery, Savepoint beforeHandler) {
    int attempt = delivery.attempt() + 1;
    HandlerCall.Result result = call.handle(session, queue.definition(), List.of(delivery));
    Verdict verdict = Verdict.of(result, attempt, queue.definition().retry());
    if (!(verdict instanceof Verdict.Done)) {
      return verdict;
    } else if (session.cancelled(delivery).isPresent()) {
      return new Verdict.Settle(cancelled(session, delivery));
    }
    try {
      session.connection().releaseSavepoint(beforeHandler);
      return switch (acknowledger.acknowledge(session, queue, List.of(delivery))) {
        case COMMITTED -> verdict;
        case TRANSACTION_ENDED -> spoiled(session, transactionEnded(queue, attempt));
        case SESSION_CHANGED -> spoiled(session, sessionChanged(queue, attempt));
      };
    } catch (SQLException e) {
      return isWithoutSavepoint(e)
          ? spoiled(session, transactionEnded(queue, attempt))
          : Verdict.ofError(e, attempt, queue.definition().retry());
    }
  }

  private static Verdict spoiled(Session session, Verdict verdict) {
    session.spoil();
    return verdict;
  }

  /** Its effects are rolled back, the session with them. */
  static Verdict sessionChanged(HandlerQueue queue, int attempt) {
    return new Verdict.Settle(
        Verdict.charge(
            "session_changed",
            "the handler changed the role, the search path or the mode of the engine's session",
            attempt,
            queue.definition().retry()));
  }

  /** What it committed stays. */
  static Verdict transactionEnded(HandlerQueue queue, int attempt) {
    return new Verdict.Settle(
        Verdict.charge(
            "transaction_ended",
            "the handler committed or rolled back the engine's transaction",
            attempt,
            queue.definition().retry()));
  }

  /** invalid_savepoint_specification, no_active_sql_transaction: it went with its transaction. */
  private static boolean isWithoutSavepoint(SQLException error) {
    return "3B001".equals(error.getSQLState()) || "25P01".equals(error.getSQLState());
  }

  /** What clashes at its every turn is at fault itself. */
  private static Settlement afterClashes(HandlerQueue queue, Delivery delivery) {
    queue.strikes().add(delivery, Strikes.Charge.CONTENTION);
    return queue
        .strikes()
        .out(delivery)
        .map(charge -> charged(queue, delivery, charge))
        .orElseGet(Settlement::contention);
  }

  private static Settlement charged(HandlerQueue queue, Delivery delivery, Strikes.Charge charge) {
    Settlement settlement =
        Verdict.charge(
            charge.reason, charge.error, delivery.attempt() + 1, queue.definition().retry());
    return charge == Strikes.Charge.PROCESS_DIED ? settlement.ofCrash() : settlement;
  }

  /** Rolls back what the handler did; false when the savepoint is gone with its transaction. */
  private static boolean undo(Session session, Savepoint beforeHandler) {
    if (session.isSpoiled()) {
      return false;
    }
    try {
      session.connection().rollback(beforeHandler);
      session.connection().releaseSavepoint(beforeHandler);
      return true;
    } catch (SQLException e) {
      return false;
    }
  }

  /** Settles under the lock that is still held. False when it is not held any more. */
  private boolean record(
      Session session, HandlerQueue queue, Delivery delivery, Settlement settlement)
      throws SQLException {
    if (!store.settle(session.connection(), workerId, delivery, settlement)) {
      return false;
    }
    session.connection().commit();
    if (session.isSuspect()) {
      // A rollback takes back settings, but neither locks of the session nor prepared statements.
      session.look(queue.name(), true);
    }
    tell(queue, delivery, settlement);
    return true;
  }

  /**
   * Settles in a new transaction, if the delivery still is as it was seen; on another connection
   * where the handler has changed more of this one than a rollback mends.
   */
  private void recordAfresh(
      Session session, HandlerQueue queue, Delivery seen, Settlement settlement)
      throws SQLException {
    try {
      session.connection().rollback();
      if (!session.isSpoiled()) {
        settleAgain(session, queue, seen, settlement);
        return;
      }
      session.close();
      try (Session another = session.another()) {
        settleAgain(another, queue, seen, settlement);
      }
    } catch (SQLException e) {
      // The session is gone too, as after a timeout of the server's: charged in the end all the
      // same.
      queue.strikes().add(seen, Strikes.Charge.DATABASE_GONE);
      throw e;
    }
  }

  private void settleAgain(
      Session session, HandlerQueue queue, Delivery seen, Settlement settlement)
      throws SQLException {
    Optional<Delivery> locked = store.reclaimToSettle(session.connection(), seen);
    if (locked.isEmpty() || !record(session, queue, locked.get(), settlement)) {
      leave(session, queue, seen);
    }
  }

  private void tell(HandlerQueue queue, Delivery delivery, Settlement settlement) {
    telemetry.record(
        new EngineEvent.AttemptSettled(
            queue.name(),
            delivery.event().map(event -> event.id()).orElse("gone"),
            delivery.attempt() + 1,
            settlement.outcome(),
            settlement.reason(),
            settlement.delay()));
  }
}
