package dev.cortex.events.database;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import javax.sql.DataSource;

/**
 * A fixed number of open connections at READ COMMITTED. A pool opens while the database is down,
 * and outlives its restarts: only the calls that need a connection in that time fail.
 */
public final class ConnectionPool implements AutoCloseable {
  /** The isolation that claims and lanes are right at, whatever the server's default is. */
  private static final String ISOLATION = "TRANSACTION_READ_COMMITTED";

  /** Below the idle limits of common firewalls and load balancers, which start at 4 minutes. */
  private static final Duration KEEPALIVE = Duration.ofMinutes(2);

  private static final Duration MAX_LIFETIME = Duration.ofMinutes(30);
  private static final Duration VALIDATION_TIMEOUT = Duration.ofSeconds(5);

  /** Construct without a connection, and keep trying in the background. */
  private static final long NEVER_FAIL_AT_START = -1;

  private final HikariDataSource pool;

  private ConnectionPool(HikariDataSource pool) {
    this.pool = pool;
  }

  /** Opens a pool; the connections follow in the background. */
  public static ConnectionPool open(DatabaseAddress address, PoolOptions options) {
    HikariConfig config = new HikariConfig();
    config.setPoolName(options.name());
    config.setDataSource(
        address
            .withApplicationName(options.name())
            .withSocketTimeout(options.socketTimeout())
            .dataSource());
    config.setMaximumPoolSize(options.size());
    config.setTransactionIsolation(ISOLATION);
    config.setInitializationFailTimeout(NEVER_FAIL_AT_START);
    config.setConnectionTimeout(options.connectionTimeout().toMillis());
    config.setValidationTimeout(
        Math.min(VALIDATION_TIMEOUT.toMillis(), options.connectionTimeout().toMillis()));
    config.setKeepaliveTime(KEEPALIVE.toMillis());
    config.setMaxLifetime(MAX_LIFETIME.toMillis());
    String atStart =
        options.role().map(ConnectionPool::takeRole).orElse("")
            + options.statementTimeout().map(limit -> limit("statement_timeout", limit)).orElse("")
            + options
                .idleTimeout()
                .map(limit -> limit("idle_in_transaction_session_timeout", limit))
                .orElse("");
    if (!atStart.isEmpty()) {
      config.setConnectionInitSql(atStart);
    }
    return new ConnectionPool(new HikariDataSource(config));
  }

  /**
   * Takes the role for the session if the login may, and otherwise leaves the login as it is. From
   * PostgreSQL 16 on, a member may lack the right to SET. The role's name holds letters, digits,
   * {@code _} and {@code -} only (see {@link PoolOptions}); the pool's start statement knows no
   * parameters.
   */
  private static String takeRole(String role) {
    return """
    select set_config('role', rolname, false)
    from pg_catalog.pg_roles
    where rolname = '%s'
      and pg_has_role(
        session_user,
        oid,
        case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end);
    """
        .formatted(role);
  }

  /**
   * The server's own word on how long it waits for a client that is stuck or stopped, and how long
   * it works for one that is gone. A session with both is free again whatever becomes of us.
   */
  private static String limit(String setting, Duration timeout) {
    return "select set_config('%s', '%d', false);".formatted(setting, timeout.toMillis());
  }

  /** The pool as a source of connections, each given back by closing it. */
  public DataSource dataSource() {
    return pool;
  }

  /** A connection of the pool, given back by closing it. */
  public Connection connection() throws SQLException {
    return pool.getConnection();
  }

  /** Closes every connection. Closing twice does nothing. */
  @Override
  public void close() {
    pool.close();
  }

  /** The pool's name. */
  @Override
  public String toString() {
    return pool.getPoolName();
  }
}
