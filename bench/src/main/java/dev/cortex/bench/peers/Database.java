package dev.cortex.bench.peers;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.net.URI;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** The database of DATABASE_URL, else of the PG* variables, as a pool. */
record Database(HikariDataSource pool) implements AutoCloseable {
  /** The 20 threads of db-scheduler and its polling; gruelbox has 10. */
  private static final int CONNECTIONS = 24;

  /** So that all peers together fit into the 100 connections that a server has by default. */
  private static final long IDLE_MILLIS = 10_000;

  static Database open() {
    HikariConfig config = new HikariConfig();
    String given = System.getenv("DATABASE_URL");
    if (given == null) {
      config.setJdbcUrl(
          "jdbc:postgresql://%s:%s/%s"
              .formatted(
                  System.getenv("PGHOST"), System.getenv("PGPORT"), System.getenv("PGDATABASE")));
      config.setUsername(System.getenv("PGUSER"));
    } else if (given.startsWith("jdbc:")) {
      config.setJdbcUrl(given);
    } else {
      URI uri = URI.create(given);
      String query = uri.getQuery() == null ? "" : "?" + uri.getQuery();
      config.setJdbcUrl("jdbc:postgresql://" + hostAndPort(uri) + uri.getPath() + query);
      if (uri.getUserInfo() != null) {
        String[] login = uri.getUserInfo().split(":", 2);
        config.setUsername(login[0]);
        config.setPassword(login.length > 1 ? login[1] : System.getenv("PGPASSWORD"));
      }
    }
    config.setMaximumPoolSize(CONNECTIONS);
    config.setMinimumIdle(1);
    config.setIdleTimeout(IDLE_MILLIS);
    return new Database(new HikariDataSource(config));
  }

  private static String hostAndPort(URI uri) {
    return uri.getHost() + (uri.getPort() < 0 ? "" : ":" + uri.getPort());
  }

  void execute(String sql) throws SQLException {
    try (Connection connection = pool.getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  /** Waits until a table has no row. */
  void awaitEmpty(String query) throws Exception {
    while (true) {
      try (Connection connection = pool.getConnection();
          Statement statement = connection.createStatement();
          ResultSet row = statement.executeQuery(query)) {
        if (!row.next()) {
          return;
        }
      }
      Thread.sleep(2);
    }
  }

  static void insertEffect(Connection connection, String id) throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement("insert into cortex_bench.effects (event_id) values (?)")) {
      statement.setString(1, id);
      statement.executeUpdate();
    }
  }

  @Override
  public void close() {
    pool.close();
  }
}
