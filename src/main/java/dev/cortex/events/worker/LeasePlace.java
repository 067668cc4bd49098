package dev.cortex.events.worker;

import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.Lease;
import dev.cortex.events.delivery.LeaseStore;
import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Dispatcher.Found;
import dev.cortex.events.worker.Dispatcher.Turn;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import javax.sql.DataSource;

/**
 * One of the process's places to run leased deliveries, one at a time: lease, handle with no
 * transaction open, then record what became of it, under the fence of the lease.
 *
 * <p>What cannot be recorded, since the database is away, is kept and tried again: the keeper goes
 * on renewing the lease, and in the end the fence decides. Confined to its loop's thread.
 */
final class LeasePlace implements Loop.Step {
  /** An acknowledgement that clashes this often in a row gives way for a while. */
  private static final int MAX_CLASHES = 20;

  private static final int LONGEST_PAUSE_MILLIS = 50;

  /**
   * A handler that has ended, and what is to be recorded of it.
   *
   * @param clashes how often recording it met with a rival
   * @param isInDoubt whether the connection was lost under a commit of it
   */
  private record Finished(
      HeldLease held, LeaseCall call, Verdict verdict, long start, int clashes, boolean isInDoubt) {

    Finished with(Verdict verdict) {
      return new Finished(held, call, verdict, start, clashes, isInDoubt);
    }

    Finished clashed() {
      return new Finished(held, call, verdict, start, clashes + 1, isInDoubt);
    }

    Finished inDoubt() {
      return new Finished(held, call, verdict, start, clashes, true);
    }
  }

  private final int number;
  private final DataSource pool;
  private final Sessions sessions;
  private final LeaseStore store;
  private final LeaseKeeper keeper;
  private final RescueClock rescues;
  private final Dispatcher dispatcher;
  private final Telemetry telemetry;
  private final int workerId;
  private final Outbox outbox = new Outbox();
  private final HandlerCall call = new HandlerCall(outbox);
  private Optional<Finished> unrecorded = Optional.empty();
  private volatile Optional<Turn> turn = Optional.empty();

  LeasePlace(
      int number,
      DataSource pool,
      Sessions sessions,
      LeaseStore store,
      LeaseKeeper keeper,
      RescueClock rescues,
      Dispatcher dispatcher,
      Telemetry telemetry,
      int workerId) {
    this.number = number;
    this.pool = pool;
    this.sessions = sessions;
    this.store = store;
    this.keeper = keeper;
    this.rescues = rescues;
    this.dispatcher = dispatcher;
    this.telemetry = telemetry;
    this.workerId = workerId;
  }

  @Override
  public Duration take() throws InterruptedException, SQLException {
    if (unrecorded.isPresent()) {
      return record(unrecorded.get());
    }
    turn = dispatcher.takeLeased();
    if (turn.isEmpty()) {
      return Duration.ZERO;
    }
    try {
      Optional<HeldLease> held = lease(turn.get());
      return held.isPresent() ? run(held.get()) : Duration.ZERO;
    } finally {
      endTurn();
    }
  }

  /** What a handler has done outside is done: it is not to be done again for want of a record. */
  @Override
  public boolean isUnfinished() {
    return unrecorded.isPresent();
  }

  /** Among the places for leases of this process, from 1. */
  int number() {
    return number;
  }

  /** Its thread is free again, or lost: either way it works the queue no more. */
  void endTurn() {
    turn.ifPresent(dispatcher::done);
  }

  private Optional<HeldLease> lease(Turn turn) throws SQLException {
    HandlerQueue queue = turn.queue();
    long sent = System.nanoTime();
    ClaimWindow window = rescues.next(queue).orElseGet(() -> queue.marks().next(sent));
    Optional<Lease> lease;
    try (Connection connection = pool.getConnection()) {
      connection.setAutoCommit(true);
      lease = store.lease(connection, queue.handlerId(), window, holder(queue));
    }
    List<Delivery> claimed = lease.map(Lease::delivery).stream().toList();
    long now = System.nanoTime();
    dispatcher.claimed(turn, found(window, lease.isPresent()));
    queue.marks().claimed(window, claimed, lease.isPresent(), Duration.ofNanos(now - sent), now);
    lease.ifPresent(taken -> tellSettled(queue, taken));
    return lease.filter(Lease::isHeld).map(taken -> new HeldLease(queue, taken, sent));
  }

  private Lease.Holder holder(HandlerQueue queue) {
    return new Lease.Holder(workerId, HeldLease.terms(queue).lease());
  }

  /** A sweep, or a rescue, that finds nothing says nothing of what lies ahead. */
  private static Found found(ClaimWindow window, boolean isFound) {
    if (isFound) {
      return Found.FULL;
    }
    return window.kind() == ClaimWindow.Kind.AHEAD ? Found.NOTHING : Found.SOME;
  }

  private Duration run(HeldLease held) throws SQLException {
    keeper.begin(held);
    Finished finished = handle(held);
    unrecorded = Optional.of(finished);
    return record(finished);
  }

  private Finished handle(HeldLease held) {
    long start = System.nanoTime();
    LeaseCall context = new LeaseCall(held, outbox);
    if (held.queue().isTooOld(held.lease().delivery())) {
      held.ended();
      return new Finished(held, context, new Verdict.Settle(Settlement.expired()), start, 0, false);
    }
    HandlerCall.Result result = call.handle(held, context);
    Verdict verdict =
        Verdict.ofLeased(result, held.state(), attempt(held), held.queue().definition().retry());
    return new Finished(held, context, verdict, start, 0, false);
  }

  private static int attempt(HeldLease held) {
    return held.lease().delivery().attempt() + 1;
  }

  /** Records what became of a delivery; what is not recorded at the end of this is tried again. */
  private Duration record(Finished finished) throws SQLException {
    Verdict verdict = finished.verdict();
    if (verdict instanceof Verdict.Done) {
      verdict = complete(finished);
    }
    if (verdict instanceof Verdict.Clash && finished.clashes() < MAX_CLASHES) {
      unrecorded = Optional.of(finished.clashed());
      return Duration.ofMillis(1 + ThreadLocalRandom.current().nextInt(LONGEST_PAUSE_MILLIS));
    } else if (verdict instanceof Verdict.Clash) {
      verdict = afterClashes(finished.held());
    }
    if (verdict instanceof Verdict.Settle || verdict instanceof Verdict.GivenBack) {
      unrecorded = Optional.of(finished.with(verdict));
      settle(finished, verdict);
    }
    unrecorded = Optional.empty();
    keeper.end(finished.held());
    return Duration.ZERO;
  }

  /** What clashes at its every turn is at fault itself. */
  private static Verdict afterClashes(HeldLease held) {
    Strikes strikes = held.queue().strikes();
    strikes.add(held.lease().delivery(), Strikes.Charge.CONTENTION);
    return charged(held).orElseGet(() -> new Verdict.Settle(Settlement.contention()));
  }

  private static Optional<Verdict> charged(HeldLease held) {
    return held.queue()
        .strikes()
        .out(held.lease().delivery())
        .map(charge -> Verdict.ofStrikes(charge, attempt(held), held.queue().definition().retry()));
  }

  /** Writes what the handler gave and acknowledges, in one transaction. */
  private Verdict complete(Finished finished) throws SQLException {
    HeldLease held = finished.held();
    Optional<Verdict> charged = charged(held);
    if (charged.isPresent()) {
      return charged.get();
    }
    try (Session session = sessions.open()) {
      Connection connection = session.connection();
      Optional<Instant> begunAt =
          finished.call().hasCompletions()
              ? Optional.of(store.begin(connection))
              : Optional.empty();
      if (begunAt.isPresent() && !held.completes(session)) {
        connection.rollback();
        return tooLate(held);
      }
      HandlerCall.Result result = completed(session, finished);
      if (session.isAborted()) {
        session.spoil();
        return tooLate(held);
      }
      Verdict verdict = Verdict.of(result, attempt(held), held.queue().definition().retry());
      if (verdict instanceof Verdict.Done) {
        verdict = acknowledge(session, finished, begunAt);
      } else if (verdict instanceof Verdict.DatabaseGone) {
        // Of what the handler gave to be written. That only the acknowledgement fails is not its
        // doing.
        held.queue().strikes().add(held.lease().delivery(), Strikes.Charge.DATABASE_GONE);
      } else {
        connection.rollback();
      }
      if (verdict instanceof Verdict.DatabaseGone gone) {
        throw gone.error();
      }
      return verdict;
    }
  }

  private HandlerCall.Result completed(Session session, Finished finished) {
    try {
      return call.complete(session, finished.call());
    } finally {
      finished.held().ended();
    }
  }

  /**
   * Its transaction was cut, or not begun: nothing is written of what it gave, whatever it says.
   */
  private static Verdict tooLate(HeldLease held) {
    return held.state() == HeldLease.State.OVERRAN
        ? Verdict.ofOverrunLease(attempt(held), held.queue().definition().retry())
        : new Verdict.Forfeited();
  }

  /**
   * @param begunAt when the transaction began, where code of the handler's has run in it
   */
  private Verdict acknowledge(Session session, Finished finished, Optional<Instant> begunAt) {
    Connection connection = session.connection();
    HeldLease held = finished.held();
    try {
      if (begunAt.isPresent() && isChanged(session)) {
        return spoiled(session, SoloRunner.sessionChanged(held.queue(), attempt(held)));
      }
      if (store.acknowledge(connection, held.lease(), begunAt)) {
        leaveRoom(connection, held);
        unrecorded = Optional.of(finished.inDoubt());
        connection.commit();
        session.look(held.queue().name(), false);
        telemetry.record(
            new EngineEvent.BatchHandled(
                held.queue().name(), 1, Duration.ofNanos(System.nanoTime() - finished.start())));
      } else if (begunAt.isPresent() && !store.begin(connection).equals(begunAt.get())) {
        return spoiled(session, SoloRunner.transactionEnded(held.queue(), attempt(held)));
      } else {
        connection.rollback();
        tellRefused(finished);
      }
      return new Verdict.Done();
    } catch (SQLException e) {
      return Verdict.ofError(e, attempt(held), held.queue().definition().retry());
    }
  }

  private static Verdict spoiled(Session session, Verdict verdict) throws SQLException {
    session.spoil();
    session.connection().rollback();
    return verdict;
  }

  private static boolean isChanged(Session session) throws SQLException {
    return !session.stateNow().identity().equals(session.state().identity());
  }

  private void settle(Finished finished, Verdict verdict) throws SQLException {
    HeldLease held = finished.held();
    try (Connection connection = pool.getConnection()) {
      connection.setAutoCommit(false);
      boolean isHeld =
          verdict instanceof Verdict.Settle settle
              ? store.settle(connection, held.lease(), settle.settlement())
              : store.giveBack(connection, held.lease());
      if (isHeld) {
        leaveRoom(connection, held);
      }
      connection.commit();
      if (!isHeld) {
        tellRefused(finished);
      } else if (verdict instanceof Verdict.Settle settle) {
        tell(held.queue(), held.lease(), settle.settlement(), attempt(held));
      }
    }
  }

  /** Where so many may run and no more, whoever waits elsewhere may lease the next one now. */
  private void leaveRoom(Connection connection, HeldLease held) throws SQLException {
    if (held.queue().definition().maxRunning().isPresent()
        || held.state() == HeldLease.State.RECALLED) {
      store.wakeIfAsleep(connection, held.queue().handlerId());
    }
  }

  /** What leasing itself has settled: the attempt that ended with a lost lease, or the delivery. */
  private void tellSettled(HandlerQueue queue, Lease lease) {
    if (lease.isHeld() && lease.lostBy().isEmpty()) {
      return;
    }
    Settlement settlement =
        lease.isHeld()
            ? Settlement.leaseLost()
            : lease.delivery().event().isEmpty()
                ? Settlement.eventGone()
                : Settlement.dead("lease_lost", "");
    tell(queue, lease, settlement, lease.delivery().attempt());
  }

  private void tell(HandlerQueue queue, Lease lease, Settlement settlement, int attempt) {
    telemetry.record(
        new EngineEvent.AttemptSettled(
            queue.name(),
            eventId(lease),
            attempt,
            settlement.outcome(),
            settlement.reason(),
            settlement.delay()));
  }

  /** What was in doubt and is refused now had been committed. */
  private void tellRefused(Finished finished) {
    if (!finished.isInDoubt()) {
      HeldLease held = finished.held();
      telemetry.record(
          new EngineEvent.LeaseRefused(
              held.queue().name(), eventId(held.lease()), held.lease().heldFence()));
    }
  }

  private static String eventId(Lease lease) {
    return lease.delivery().event().map(event -> event.id()).orElse("gone");
  }
}
