package dev.cortex.events.worker;

import dev.cortex.events.delivery.EmitterHorizon;
import dev.cortex.events.delivery.LaneClaim;
import dev.cortex.events.delivery.LaneProbe;
import dev.cortex.events.delivery.LaneStore;
import dev.cortex.events.delivery.LaneTurn;
import dev.cortex.events.delivery.Lanes;
import dev.cortex.events.worker.Dispatcher.Found;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The hot path of ordered handlers: takes a lane, claims in it, and has {@link BatchRunner} run
 * what was claimed. One transaction in the cluster works in a lane, so its events run in their
 * order; other slots and processes work in other lanes.
 *
 * <p>Thread-safe; each call works on a connection of its own.
 */
final class LaneRunner {
  private final Sessions sessions;
  private final LaneStore store;
  private final EmitterHorizon horizon;
  private final BatchRunner batches;

  LaneRunner(Sessions sessions, LaneStore store, EmitterHorizon horizon, BatchRunner batches) {
    this.sessions = sessions;
    this.store = store;
    this.horizon = horizon;
    this.batches = batches;
  }

  /**
   * Takes a lane and runs one batch of it.
   *
   * @param onClaim told what the claim found, before it is run
   * @throws SQLException when the database is at fault; the lane and what was claimed are free
   *     again
   */
  void run(HandlerQueue queue, Lanes lanes, Slot slot, Consumer<Found> onClaim)
      throws SQLException, InterruptedException {
    try (Session session = sessions.open()) {
      Connection connection = session.connection();
      horizon.refresh(connection);
      long start = System.nanoTime();
      LaneProbe probe = lanes.probe(start, horizon.floor());
      LaneStore.Take take =
          probe.isEmpty()
              ? LaneStore.Take.NOTHING
              : store.take(connection, queue.handlerId(), probe);
      Optional<LaneTurn> turn = take.turn();
      if (!take.hasPlace()) {
        connection.rollback();
        onClaim.accept(Found.NO_PLACE);
        return;
      } else if (turn.isEmpty()) {
        connection.rollback();
        lanes.foundNothing(probe, since(start), System.nanoTime());
        // A slot of this process that is in a lane will find more there.
        onClaim.accept(lanes.areTaken() ? Found.SOME : Found.NOTHING);
        return;
      }
      lanes.taken(turn.get());
      Hold hold = slot.hold(() -> lanes.left(turn.get()));
      try {
        work(session, queue, lanes, turn.get(), slot, onClaim);
      } finally {
        hold.close();
      }
    }
  }

  private void work(
      Session session,
      HandlerQueue queue,
      Lanes lanes,
      LaneTurn turn,
      Slot slot,
      Consumer<Found> onClaim)
      throws SQLException, InterruptedException {
    Connection connection = session.connection();
    long start = System.nanoTime();
    LaneClaim claim = store.claim(connection, queue.handlerId(), turn, queue.batchSize().current());
    Duration cost = since(start);
    // The other lanes may be as full as this one.
    onClaim.accept(claim.deliveries().isEmpty() ? Found.SOME : Found.FULL);
    if (claim.deliveries().isEmpty()) {
      store.parkPassed(connection, queue.handlerId(), turn, claim);
      connection.commit();
      lanes.committed(turn, claim, since(start), System.nanoTime());
    } else if (batches.handle(session, queue, slot, claim.deliveries())) {
      lanes.committed(turn, claim, cost, System.nanoTime());
    }
  }

  private static Duration since(long start) {
    return Duration.ofNanos(System.nanoTime() - start);
  }
}
