package dev.cortex.events.worker;

import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Dispatcher.Found;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * The hot path: claims a batch of one handler's deliveries, runs them in one transaction without
 * savepoints, acknowledges them and commits. When anything in it is not done, the whole batch is
 * rolled back and each delivery is run alone by {@link SoloRunner}, which decides and records.
 *
 * <p>Thread-safe; each call works on a connection of its own.
 */
final class BatchRunner {
  private final Sessions sessions;
  private final DeliveryStore store;
  private final Acknowledger acknowledger;
  private final HandlerCall call;
  private final Caution caution;
  private final SoloRunner solo;
  private final Telemetry telemetry;
  private final int workerId;

  BatchRunner(
      Sessions sessions,
      DeliveryStore store,
      HandlerCall call,
      Caution caution,
      Telemetry telemetry,
      int workerId) {
    this.sessions = sessions;
    this.store = store;
    this.acknowledger = new Acknowledger(store, workerId);
    this.call = call;
    this.caution = caution;
    this.solo = new SoloRunner(store, call, caution, telemetry, workerId);
    this.telemetry = telemetry;
    this.workerId = workerId;
  }

  /**
   * Claims and runs one batch.
   *
   * @param onClaim told what the claim found, before it is run
   * @throws SQLException when the database is at fault; whatever was claimed is free again
   */
  void run(HandlerQueue queue, Slot slot, Consumer<Found> onClaim)
      throws SQLException, InterruptedException {
    try (Session session = sessions.open()) {
      Connection connection = session.connection();
      long start = System.nanoTime();
      ClaimWindow window = queue.marks().next(start);
      int limit = queue.batchSize().current();
      DeliveryStore.Claim claim = store.claim(connection, queue.handlerId(), window, limit);
      List<Delivery> claimed = claim.deliveries();
      Duration cost = Duration.ofNanos(System.nanoTime() - start);
      if (!claim.hasPlace()) {
        connection.rollback();
        onClaim.accept(Found.NO_PLACE);
        return;
      }
      // Before it is run: the other slots need not walk over what this one holds. What does not
      // commit is given back.
      queue.marks().claimed(window, claimed, claimed.size() >= limit, cost, System.nanoTime());
      onClaim.accept(found(window, claimed.size(), limit));
      if (claimed.isEmpty()) {
        connection.rollback();
      } else {
        handle(session, queue, slot, claimed);
      }
    }
  }

  private static long weight(List<Delivery> claimed) {
    long characters = 0;
    for (Delivery delivery : claimed) {
      characters += delivery.event().map(event -> event.payload().text().length()).orElse(0);
    }
    return characters;
  }

  /** A sweep that finds nothing says nothing of what lies ahead. */
  private static Found found(ClaimWindow window, int claimed, int limit) {
    if (claimed >= limit) {
      return Found.FULL;
    }
    return claimed > 0 || window.kind() != ClaimWindow.Kind.AHEAD ? Found.SOME : Found.NOTHING;
  }

  /**
   * Runs what the open transaction has claimed, and ends the transaction.
   *
   * @param claimed at least one
   * @return whether this very transaction committed, with all of it finished or settled
   */
  boolean handle(Session session, HandlerQueue queue, Slot slot, List<Delivery> claimed)
      throws SQLException, InterruptedException {
    queue.batchSize().weighed(claimed.size(), weight(claimed));
    AtomicBoolean isCommitted = new AtomicBoolean();
    try {
      List<Delivery> alone = alone(session.connection(), queue, claimed);
      if (!alone.isEmpty()) {
        queue.marks().givenBack(claimed);
        session.connection().rollback();
        runSuspects(session, queue, slot, alone);
      } else if (!caution.beside(
          slot, () -> isCommitted.set(runBatch(session, queue, slot, claimed)))) {
        queue.marks().givenBack(claimed);
        session.connection().rollback();
        caution.awaitNobodyAlone();
      }
      return isCommitted.get();
    } catch (SQLException | RuntimeException | InterruptedException e) {
      queue.marks().givenBack(claimed);
      if (session.isAborted() || slot.isAborted()) {
        throw new InterruptedException("it has overrun, or was given back: its connection was cut");
      }
      throw e;
    } finally {
      slot.end();
    }
  }

  /**
   * The suspects; and all that was claimed in a lane with one, since it may be what a suspect waits
   * for.
   */
  private List<Delivery> alone(Connection connection, HandlerQueue queue, List<Delivery> claimed)
      throws SQLException {
    List<Delivery> suspects = caution.suspects(connection, queue, claimed);
    return suspects.isEmpty() || queue.lanes().isEmpty() ? suspects : claimed;
  }

  private void runSuspects(Session session, HandlerQueue queue, Slot slot, List<Delivery> suspects)
      throws SQLException, InterruptedException {
    for (Delivery suspect : suspects) {
      if (!session.isSpoiled()) {
        caution.alone(
            slot,
            () -> solo.run(session, queue, suspect, locked -> begin(session, queue, slot, locked)));
        slot.end(); // waiting for the next one's turn is nobody's time
      }
    }
  }

  private boolean runBatch(Session session, HandlerQueue queue, Slot slot, List<Delivery> claimed)
      throws SQLException {
    slot.begin(queue, claimed, session);
    caution.show(slot);
    if (claimed.size() == 1) {
      return solo.runLocked(
          session, queue, claimed.get(0), locked -> begin(session, queue, slot, locked));
    } else if (handleTogether(session, queue, claimed)) {
      return true;
    }
    session.connection().rollback();
    if (session.isSpoiled()) {
      session.close();
      try (Session another = session.another()) {
        runEachAlone(another, queue, slot, claimed);
      }
    } else {
      runEachAlone(session, queue, slot, claimed);
    }
    return false;
  }

  private void runEachAlone(Session session, HandlerQueue queue, Slot slot, List<Delivery> claimed)
      throws SQLException {
    for (Delivery delivery : claimed) {
      if (session.isSpoiled()) {
        // The others are found again by a claim on another connection.
        queue.marks().givenBack(claimed);
        return;
      }
      solo.run(session, queue, delivery, locked -> begin(session, queue, slot, locked));
      slot.end();
    }
  }

  /** By the transaction that has locked it, which others know by when it began. */
  private void begin(Session session, HandlerQueue queue, Slot slot, Delivery locked)
      throws SQLException {
    slot.begin(queue, List.of(locked), session);
    caution.show(slot);
  }

  /**
   * Runs the batch optimistically.
   *
   * @return false when it has to be redone one by one
   */
  private boolean handleTogether(Session session, HandlerQueue queue, List<Delivery> claimed)
      throws SQLException {
    long start = System.nanoTime();
    if (claimed.stream()
        .anyMatch(delivery -> queue.isTooOld(delivery) || isGoneInOrder(delivery))) {
      // It will be a dead letter. In order it may hold its key: those behind it must not run with
      // it.
      return false;
    }
    List<Delivery> present = settleGone(session.connection(), claimed);
    HandlerCall.Result result = call.handle(session, queue.definition(), present);
    try {
      Verdict verdict = Verdict.of(result, 1, queue.definition().retry());
      if (verdict instanceof Verdict.Done
          && !session.isAnyCancelled(present)
          && commit(session, queue, present)) {
        Duration duration = Duration.ofNanos(System.nanoTime() - start);
        queue.batchSize().succeeded(claimed.size(), duration);
        telemetry.record(new EngineEvent.BatchHandled(queue.name(), claimed.size(), duration));
        return true;
      }
      return redo(queue, claimed, verdict, start);
    } catch (SQLException e) {
      return redo(queue, claimed, Verdict.ofError(e, 1, queue.definition().retry()), start);
    }
  }

  private boolean commit(Session session, HandlerQueue queue, List<Delivery> present)
      throws SQLException {
    if (present.isEmpty()) {
      session.connection().commit();
      return true;
    }
    if (acknowledger.acknowledge(session, queue, present) == Acknowledger.Result.COMMITTED) {
      return true;
    }
    session.spoil(); // what was changed outside of the transaction, no rollback mends
    return false;
  }

  private static boolean isGoneInOrder(Delivery delivery) {
    return delivery.isOrdered() && delivery.event().isEmpty();
  }

  private boolean redo(HandlerQueue queue, List<Delivery> claimed, Verdict verdict, long start)
      throws SQLException {
    Duration cost = Duration.ofNanos(System.nanoTime() - start);
    if (verdict instanceof Verdict.DatabaseGone gone) {
      queue.batchSize().clashed(cost);
      throw gone.error();
    } else if (verdict instanceof Verdict.Clash) {
      queue.batchSize().clashed(cost);
      telemetry.record(new EngineEvent.BatchClashed(queue.name(), claimed.size()));
    }
    telemetry.record(new EngineEvent.BatchRedone(queue.name(), claimed.size()));
    return false;
  }

  /** Settles deliveries whose event retention has dropped, and returns the others. */
  private List<Delivery> settleGone(Connection connection, List<Delivery> claimed)
      throws SQLException {
    List<Delivery> present = new ArrayList<>(claimed.size());
    for (Delivery delivery : claimed) {
      if (delivery.event().isPresent()) {
        present.add(delivery);
      } else {
        store.settle(connection, workerId, delivery, Settlement.eventGone());
      }
    }
    return present;
  }
}
