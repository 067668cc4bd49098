package dev.cortex.events.worker;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.database.SchemaVersion;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;

/** The session, the id and the queues that a worker starts with. */
record Opening(Connection session, int workerId, List<HandlerQueue> queues, boolean isCautious) {
  private static final Duration FIRST_PAUSE = Duration.ofMillis(500);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(2);

  /** Tries until the database is there; gives up only on what no waiting mends. */
  static Opening patiently(
      DataSource pool,
      DataSource sessions,
      List<HandlerDefinition> handlers,
      WorkerOptions options,
      Telemetry telemetry)
      throws SQLException, InterruptedException {
    boolean isTold = false;
    Duration pause = FIRST_PAUSE;
    while (true) {
      try {
        checkIsolation(pool);
        return attempt(sessions, handlers, options, telemetry);
      } catch (SQLException e) {
        if (Thread.interrupted()) {
          // A pool that is interrupted while it waits says so in words only.
          throw new InterruptedException("interrupted while waiting for the database");
        }
        if (DatabaseFault.of(e).filter(fault -> !fault.costsAttempt()).isEmpty()) {
          throw e;
        }
        if (!isTold) {
          telemetry.record(
              new EngineEvent.DatabaseLost(
                  "start", Optional.ofNullable(e.getSQLState()).orElse("none")));
          isTold = true;
        }
        TimeUnit.MILLISECONDS.sleep(
            Math.round(pause.toMillis() * (0.5 + ThreadLocalRandom.current().nextDouble() / 2)));
        // What is tried for may hold up others for a moment each time.
        pause = pause.compareTo(LONGEST_PAUSE) < 0 ? pause.multipliedBy(2) : pause;
      }
    }
  }

  private static void checkIsolation(DataSource pool) throws SQLException {
    try (Connection connection = pool.getConnection()) {
      if (connection.getTransactionIsolation() != Connection.TRANSACTION_READ_COMMITTED) {
        throw new IllegalArgumentException(
            "pool must give connections at READ COMMITTED (2), was "
                + connection.getTransactionIsolation());
      }
    }
  }

  private static Opening attempt(
      DataSource sessions,
      List<HandlerDefinition> handlers,
      WorkerOptions options,
      Telemetry telemetry)
      throws SQLException {
    Connection session = sessions.getConnection();
    try {
      SchemaVersion.require(session);
      for (HandlerDefinition handler : handlers) {
        handler.requirement().check(session);
      }
      WorkerStore workers = new WorkerStore();
      List<HandlerQueue> queues = new ArrayList<>();
      List<Short> handlerIds = new ArrayList<>();
      for (HandlerDefinition handler : handlers) {
        WorkerStore.Registered registered = workers.register(session, handler);
        handlerIds.add(registered.handlerId());
        queues.add(new HandlerQueue(handler, registered.handlerId()));
        if (registered.lanes() > 0) {
          queues.add(HandlerQueue.ordered(handler, registered.handlerId(), registered.lanes()));
        }
        for (String pattern : workers.unmatchedPatterns(session, registered.handlerId())) {
          telemetry.record(new EngineEvent.PatternUnmatched(handler.name(), pattern));
        }
      }
      int workerId = workers.enter(session, options, version(), handlerIds);
      // Before the first claim: what killed the last worker is about to be this one's.
      HouseStore.Chores chores = keepHouse(workers, session, workerId);
      for (int vanished : chores.vanished()) {
        telemetry.record(new EngineEvent.WorkerVanished(vanished));
      }
      return new Opening(session, workerId, queues, chores.isCautious());
    } catch (SQLException | RuntimeException e) {
      discard(session);
      throw e;
    }
  }

  /** Where that fails, the worker has not died, and nobody is to take it for dead. */
  private static HouseStore.Chores keepHouse(WorkerStore workers, Connection session, int workerId)
      throws SQLException {
    try {
      return new HouseStore().keepHouse(session, workerId);
    } catch (SQLException e) {
      try {
        workers.leave(session, workerId);
      } catch (SQLException gone) {
        e.addSuppressed(gone);
      }
      throw e;
    }
  }

  /** Not given back to the pool: it may hold the lock of a worker that has come no further. */
  private static void discard(Connection session) {
    try {
      session.abort(Runnable::run);
      session.close();
    } catch (SQLException e) {
      // It is gone already.
    }
  }

  private static String version() {
    return Optional.ofNullable(Worker.class.getPackage().getImplementationVersion())
        .orElse("development");
  }
}
