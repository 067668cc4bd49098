package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
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

  private static final Duration AFTER_CLASHES = Duration.ofSeconds(1);

  private final DeliveryStore store;
  private final HandlerCall call;
  private final Caution caution;
  private final Telemetry telemetry;
  private final int workerId;

  SoloRunner(
      DeliveryStore store, HandlerCall call, Caution caution, Telemetry telemetry, int workerId) {
    this.store = store;
    this.call = call;
    this.caution = caution;
    this.telemetry = telemetry;
    this.workerId = workerId;
  }

  /** Runs a delivery of an earlier transaction, unless it is no longer this worker's to run. */
  void run(Connection connection, HandlerQueue queue, Delivery seen) throws SQLException {
    Optional<Delivery> locked = store.reclaim(connection, seen);
    if (locked.isPresent()) {
      runLocked(connection, queue, locked.get());
    } else {
      connection.rollback();
    }
  }

  /**
   * Runs a delivery that the open transaction has locked, and ends the transaction.
   *
   * @return whether this very transaction committed what became of it
   */
  boolean runLocked(Connection connection, HandlerQueue queue, Delivery locked)
      throws SQLException {
    Optional<Delivery> delivery = Optional.of(locked);
    for (int clashes = 0; delivery.isPresent(); clashes++) {
      Ended ended = runOnce(connection, queue, delivery.get());
      if (ended != Ended.CLASHED) {
        return ended == Ended.HERE && clashes == 0;
      }
      connection.rollback();
      delivery = store.reclaim(connection, locked);
      if (delivery.isPresent() && clashes >= MAX_CLASHES) {
        record(connection, queue, delivery.get(), Settlement.snooze("contention", AFTER_CLASHES));
        return false;
      }
    }
    connection.rollback();
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
  private Ended runOnce(Connection connection, HandlerQueue queue, Delivery delivery)
      throws SQLException {
    if (delivery.event().isEmpty()) {
      return settled(connection, queue, delivery, Settlement.eventGone());
    }
    Optional<Strikes.Charge> charge = queue.strikes().out(delivery);
    if (charge.isPresent()) {
      caution.acquit(connection, delivery);
      return settled(connection, queue, delivery, charged(queue, delivery, charge.get()));
    }
    long start = System.nanoTime();
    Savepoint beforeHandler = connection.setSavepoint();
    Verdict verdict = handle(connection, queue, delivery, beforeHandler);
    if (verdict instanceof Verdict.Done) {
      Duration duration = Duration.ofNanos(System.nanoTime() - start);
      queue.batchSize().succeeded(1, duration);
      telemetry.record(new EngineEvent.BatchHandled(queue.name(), 1, duration));
      return Ended.HERE;
    } else if (verdict instanceof Verdict.Clash) {
      queue.batchSize().clashed(Duration.ofNanos(System.nanoTime() - start));
      return Ended.CLASHED;
    } else if (verdict instanceof Verdict.DatabaseGone gone) {
      queue.strikes().add(delivery);
      throw gone.error();
    }
    Settlement settlement = ((Verdict.Settle) verdict).settlement();
    if (undo(connection, beforeHandler) && record(connection, queue, delivery, settlement)) {
      return Ended.HERE;
    }
    recordAfresh(connection, queue, delivery, settlement);
    return Ended.AFRESH;
  }

  private Ended settled(
      Connection connection, HandlerQueue queue, Delivery delivery, Settlement settlement)
      throws SQLException {
    return record(connection, queue, delivery, settlement) ? Ended.HERE : Ended.CLASHED;
  }

  /** Runs the handler and, when it is done, acknowledges and commits. */
  private Verdict handle(
      Connection connection, HandlerQueue queue, Delivery delivery, Savepoint beforeHandler) {
    int attempt = delivery.attempt() + 1;
    HandlerCall.Result result =
        call.handle(connection, queue.definition().work(), List.of(delivery));
    Verdict verdict = Verdict.of(result, attempt, queue.definition().retry());
    if (!(verdict instanceof Verdict.Done)) {
      return verdict;
    }
    try {
      connection.releaseSavepoint(beforeHandler);
      if (store.acknowledge(connection, workerId, List.of(delivery)) == 1) {
        connection.commit();
        return verdict;
      }
      return new Verdict.Settle(transactionEnded(queue, attempt));
    } catch (SQLException e) {
      return isWithoutSavepoint(e)
          ? new Verdict.Settle(transactionEnded(queue, attempt))
          : Verdict.ofError(e, attempt, queue.definition().retry());
    }
  }

  /** invalid_savepoint_specification, no_active_sql_transaction: it went with its transaction. */
  private static boolean isWithoutSavepoint(SQLException error) {
    return "3B001".equals(error.getSQLState()) || "25P01".equals(error.getSQLState());
  }

  private static Settlement transactionEnded(HandlerQueue queue, int attempt) {
    return Verdict.charge(
        "transaction_ended",
        "the handler committed or rolled back the engine's transaction",
        attempt,
        queue.definition().retry());
  }

  private static Settlement charged(HandlerQueue queue, Delivery delivery, Strikes.Charge charge) {
    Settlement settlement =
        Verdict.charge(
            charge.reason, charge.error, delivery.attempt() + 1, queue.definition().retry());
    return charge == Strikes.Charge.PROCESS_DIED ? settlement.ofCrash() : settlement;
  }

  /** Rolls back what the handler did; false when the savepoint is gone with its transaction. */
  private static boolean undo(Connection connection, Savepoint beforeHandler) {
    try {
      connection.rollback(beforeHandler);
      connection.releaseSavepoint(beforeHandler);
      return true;
    } catch (SQLException e) {
      return false;
    }
  }

  /** Settles under the lock that is still held. False when it is not held any more. */
  private boolean record(
      Connection connection, HandlerQueue queue, Delivery delivery, Settlement settlement)
      throws SQLException {
    if (!store.settle(connection, workerId, delivery, settlement)) {
      return false;
    }
    connection.commit();
    tell(queue, delivery, settlement);
    return true;
  }

  /** Settles in a new transaction, if the delivery still is as it was seen. */
  private void recordAfresh(
      Connection connection, HandlerQueue queue, Delivery seen, Settlement settlement)
      throws SQLException {
    try {
      connection.rollback();
      Optional<Delivery> locked = store.reclaim(connection, seen);
      if (locked.isEmpty() || !record(connection, queue, locked.get(), settlement)) {
        connection.rollback();
      }
    } catch (SQLException e) {
      // The session is gone too, as after a timeout of the server's: charged in the end all the
      // same.
      queue.strikes().add(seen);
      throw e;
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
