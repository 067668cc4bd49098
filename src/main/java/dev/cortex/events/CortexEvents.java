package dev.cortex.events;

import dev.cortex.events.database.ConnectionPool;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PoolOptions;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.HandlerDefinition.Leased;
import dev.cortex.events.operate.Operations;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedDeque;
import javax.sql.DataSource;

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
  /** Beside the slots': the housekeeping's connection and the schedules'. */
  private static final int SIDE_CONNECTIONS = 2;

  /** Beside that of each place for a lease. */
  private static final int RENEWING_CONNECTIONS = 1;

  /** Past this, a connection that has not answered is given up as lost. */
  private static final Duration SOCKET_TIMEOUT = Duration.ofMinutes(5);

  private final DatabaseAddress address;
  private final PoolOptions poolOptions;
  private final Telemetry telemetry;
  private final Deque<AutoCloseable> opened = new ConcurrentLinkedDeque<>();

  private CortexEvents(DatabaseAddress address, PoolOptions poolOptions, Telemetry telemetry) {
    this.address = address;
    this.poolOptions = poolOptions;
    this.telemetry = telemetry;
  }

  /** The database at a {@code postgresql://} or {@code jdbc:postgresql://} address. */
  public static CortexEvents connect(String url) {
    return connect(DatabaseAddress.of(url));
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

  /** Starts a worker with {@link WorkerOptions#defaults()}. */
  public Worker work(List<HandlerDefinition> handlers) throws SQLException, InterruptedException {
    return work(handlers, WorkerOptions.defaults());
  }

  /**
   * Starts a worker, which waits for the database for as long as it takes. Closed with this object,
   * or by itself before.
   *
   * @throws dev.cortex.events.database.SchemaMismatchException when the schema does not fit
   * @throws SQLException when the database refuses for good
   */
  public Worker work(List<HandlerDefinition> handlers, WorkerOptions options)
      throws SQLException, InterruptedException {
    ConnectionPool pool = pool("cortex-worker", connections(handlers, options));
    ConnectionPool session = pool("cortex-listener", 1);
    Worker worker =
        Worker.start(pool.dataSource(), session.dataSource(), handlers, options, telemetry);
    opened.push(worker);
    return worker;
  }

  private static int connections(List<HandlerDefinition> handlers, WorkerOptions options) {
    boolean hasLeases = handlers.stream().anyMatch(handler -> handler.work() instanceof Leased);
    int leases = hasLeases ? options.leases() + RENEWING_CONNECTIONS : 0;
    return options.slots() + leases + SIDE_CONNECTIONS;
  }

  /** Questions about what is in the database, and the operators' verbs; closed with this object. */
  public Operations operations() {
    return Operations.on(connections(1));
  }

  /** A pool of connections to the database, closed with this object. */
  public DataSource connections(int size) {
    return pool("cortex", size).dataSource();
  }

  private ConnectionPool pool(String name, int size) {
    ConnectionPool pool =
        ConnectionPool.open(
            address,
            new PoolOptions(
                name,
                size,
                poolOptions.role(),
                poolOptions.socketTimeout(),
                poolOptions.connectionTimeout()));
    opened.push(pool);
    return pool;
  }

  /** Closes what was opened, workers before their connections. Closing twice does nothing. */
  @Override
  public void close() {
    while (!opened.isEmpty()) {
      try {
        opened.pop().close();
      } catch (Exception e) {
        throw new IllegalStateException("cannot close", e);
      }
    }
  }
}
