package dev.cortex.events;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.database.ConnectionPool;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.database.PoolOptions;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.HandlerDefinition.Leased;
import dev.cortex.events.operate.Operations;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.spool.Postbox;
import dev.cortex.events.spool.Spool;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.locks.ReentrantLock;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;

/**
 * The front door: one database with Cortex Events in it.
 *
 * <pre>{@code
 * try (CortexEvents cortex = CortexEvents.connect("postgresql://localhost/app")) {
 *   cortex.outbox().emit(connection, EventDraft.of("order.paid", "shop").withPayload(json));
 *
 *   Worker worker = cortex.work(List.of(
 *       HandlerDefinition.oneByOne("receipts", (event, context) -> {
 *         // write through context.connection(): it commits together with the acknowledgement
 *         return Outcome.done();
 *       }).on("order.paid")));
 * }
 * }</pre>
 *
 * <p>Thread-safe. Connecting needs no database to be there; what needs one waits for it or says so.
 */
public final class CortexEvents implements AutoCloseable {
  /** Beside the slots': of the housekeeping, schedules, back-fills, and to show what slots run. */
  private static final int SIDE_CONNECTIONS = 4;

  /** Beside that of each place for a lease. */
  private static final int RENEWING_CONNECTIONS = 1;

  private static final int POSTING_CONNECTIONS = 2;

  /** Whoever posts has a spool, and need not wait for long. */
  private static final Duration POSTING_PATIENCE = Duration.ofSeconds(1);

  private static final Duration POSTING_SOCKET_TIMEOUT = Duration.ofSeconds(10);

  /** Past this, a connection that has not answered is given up as lost. */
  private static final Duration SOCKET_TIMEOUT = Duration.ofMinutes(5);

  /** For a server that takes the connection and does not answer: it is away. */
  private static final Duration LOGIN_PATIENCE = Duration.ofSeconds(10);

  /** So much longer than a handler may take, the server ends what the worker has not ended. */
  private static final int SERVER_PATIENCE_FACTOR = 2;

  /** Statements of the engine's own have their time, however little the handlers may take. */
  private static final Duration SHORTEST_STATEMENT_TIMEOUT = Duration.ofMinutes(1);

  /** A short pause of the process ends no transaction of it. */
  private static final Duration SHORTEST_IDLE_TIMEOUT = Duration.ofSeconds(2);

  private final DatabaseAddress address;
  private final PoolOptions poolOptions;
  private final Telemetry telemetry;
  private final Deque<AutoCloseable> opened = new ConcurrentLinkedDeque<>();
  private final ReentrantLock lock = new ReentrantLock();

  @GuardedBy("lock")
  private @Nullable Operations operations;

  private CortexEvents(DatabaseAddress address, PoolOptions poolOptions, Telemetry telemetry) {
    this.address = address;
    this.poolOptions = poolOptions;
    this.telemetry = telemetry;
  }

  /**
   * The database at a {@code postgresql://} or {@code jdbc:postgresql://} address. What that leaves
   * out is taken from the variables that {@code psql} reads, such as {@code PGPASSWORD}, else from
   * the password file.
   */
  public static CortexEvents connect(String url) {
    return connect(DatabaseAddress.of(url, System.getenv()));
  }

  /** The database at an address. */
  public static CortexEvents connect(DatabaseAddress address) {
    return new CortexEvents(
        address, PoolOptions.of("cortex", 1).withSocketTimeout(SOCKET_TIMEOUT), Telemetry.toLog());
  }

  /** The same, taking a role in every session where the login is a member of it. */
  public CortexEvents as(String role) {
    return new CortexEvents(address, poolOptions.withRole(role), telemetry);
  }

  /** The same, told of what the engine does. */
  public CortexEvents withTelemetry(Telemetry telemetry) {
    return new CortexEvents(address, poolOptions, telemetry);
  }

  /** Where events are emitted, each on a connection of the caller's. */
  public Outbox outbox() {
    return new Outbox();
  }

  /**
   * Where events are posted: durable by themselves, in the database or else in this spool. Closed
   * with this object.
   */
  public Postbox postbox(Spool spool) {
    ConnectionPool pool =
        ConnectionPool.open(
            address,
            poolOptions
                .named("cortex-postbox", POSTING_CONNECTIONS)
                .withConnectionTimeout(POSTING_PATIENCE)
                .withSocketTimeout(POSTING_SOCKET_TIMEOUT));
    opened.push(pool);
    return Postbox.of(pool.dataSource(), spool);
  }

  /** Starts a worker with {@link WorkerOptions#defaults()}. */
  public Worker work(List<HandlerDefinition> handlers) throws SQLException, InterruptedException {
    return work(handlers, WorkerOptions.defaults());
  }

  /**
   * Starts a worker, which waits for the database for as long as it takes. Closed with this object,
   * or by itself before.
   *
   * @throws dev.cortex.events.database.SchemaMismatchException when the schema does not fit
   * @throws SQLException when the database is there and refuses for good: the login, its password,
   *     or a database of that name
   */
  public Worker work(List<HandlerDefinition> handlers, WorkerOptions options)
      throws SQLException, InterruptedException {
    checkLogin();
    Duration patience = longestBudget(handlers).multipliedBy(SERVER_PATIENCE_FACTOR);
    Duration statementTimeout = longer(patience, SHORTEST_STATEMENT_TIMEOUT);
    ConnectionPool pool =
        ConnectionPool.open(
            address,
            poolOptions
                .named("cortex-worker", connections(handlers, options))
                .withServerTimeouts(statementTimeout, longer(patience, SHORTEST_IDLE_TIMEOUT))
                .withSocketTimeout(SOCKET_TIMEOUT.plus(statementTimeout)));
    ConnectionPool session = ConnectionPool.open(address, poolOptions.named("cortex-listener", 1));
    try {
      Worker worker =
          Worker.start(pool.dataSource(), session.dataSource(), handlers, options, telemetry);
      opened.push(worker);
      worker.onClosed(() -> opened.remove(worker));
      worker.onClosed(pool::close);
      worker.onClosed(session::close);
      return worker;
    } catch (SQLException | InterruptedException | RuntimeException | Error e) {
      pool.close();
      session.close();
      throw e;
    }
  }

  /** A pool would wait before it says so; what is only away is left to the worker to wait for. */
  private void checkLogin() throws SQLException, InterruptedException {
    DataSource source = address.withApplicationName("cortex-worker").dataSource();
    // With a limit the driver connects on a thread of its own, so that this one can be interrupted.
    source.setLoginTimeout(Math.toIntExact(LOGIN_PATIENCE.toSeconds()));
    try {
      source.getConnection().close();
    } catch (SQLException e) {
      if (Thread.interrupted()) {
        throw new InterruptedException("interrupted while logging in");
      }
      if (DatabaseFault.of(e).filter(DatabaseFault::costsAttempt).isPresent()) {
        throw e;
      }
    }
  }

  private static int connections(List<HandlerDefinition> handlers, WorkerOptions options) {
    boolean hasLeases = handlers.stream().anyMatch(CortexEvents::isLeased);
    int leases = hasLeases ? options.leases() + RENEWING_CONNECTIONS : 0;
    int spool = options.spool().isPresent() ? 1 : 0;
    return options.slots() + leases + spool + SIDE_CONNECTIONS;
  }

  private static boolean isLeased(HandlerDefinition handler) {
    return handler.work() instanceof Leased;
  }

  private static Duration longer(Duration one, Duration other) {
    return one.compareTo(other) >= 0 ? one : other;
  }

  private static Duration longestBudget(List<HandlerDefinition> handlers) {
    return handlers.stream()
        .filter(handler -> !isLeased(handler)) // it has no transaction open for as long as it runs
        .map(HandlerDefinition::timeBudget)
        .max(Comparator.naturalOrder())
        .orElse(Duration.ofSeconds(30));
  }

  /**
   * Questions about what is in the database, and the operators' verbs, two at once at most; always
   * the same object, closed with this one.
   */
  public Operations operations() {
    lock.lock();
    try {
      Operations known = operations;
      if (known == null) {
        known = Operations.on(connections(2));
        operations = known;
      }
      return known;
    } finally {
      lock.unlock();
    }
  }

  /** A new pool of connections to the database, closed with this object. */
  public DataSource connections(int size) {
    ConnectionPool pool = ConnectionPool.open(address, poolOptions.named("cortex", size));
    opened.push(pool);
    return pool.dataSource();
  }

  /**
   * Closes what was opened, workers before their connections. Closing twice does nothing.
   *
   * @throws IllegalStateException when something could not be closed; the rest is closed all the
   *     same
   */
  @Override
  public void close() {
    IllegalStateException failed = new IllegalStateException("cannot close everything");
    for (AutoCloseable one = opened.poll(); one != null; one = opened.poll()) {
      try {
        one.close();
      } catch (Exception e) {
        failed.addSuppressed(e);
      }
    }
    if (failed.getSuppressed().length > 0) {
      throw failed;
    }
  }
}
