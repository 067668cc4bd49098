package dev.cortex.events.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@ExtendWith(PostgresExtension.class)
class ConnectionPoolTest {
  @Test
  void connections_are_named_and_at_read_committed(TestDatabase database) throws SQLException {
    DatabaseAddress serializable =
        DatabaseAddress.of(
                database.address().jdbcUrl()
                    + "?options=-c%20default_transaction_isolation=serializable&sslmode=disable")
            .withLogin(database.address().user(), database.address().password().orElse(""));
    try (ConnectionPool pool = ConnectionPool.open(serializable, PoolOptions.of("test-pool", 2));
        Connection connection = pool.connection()) {
      assertThat(ask(connection, "show transaction_isolation")).isEqualTo("read committed");
      assertThat(ask(connection, "show application_name")).isEqualTo("test-pool");
    }
  }

  @Test
  void a_role_is_taken_by_its_members_and_passed_over_by_others(TestDatabase database)
      throws SQLException {
    assertThat(roleOf(database.superuserAddress(), "pg_monitor")).isEqualTo("pg_monitor");
    assertThat(roleOf(database.address(), "pg_write_server_files")).isEqualTo("cortex_test");
    assertThat(roleOf(database.address(), "no_such_role")).isEqualTo("cortex_test");
  }

  private static String roleOf(DatabaseAddress address, String role) throws SQLException {
    try (ConnectionPool pool =
            ConnectionPool.open(address, PoolOptions.of("test-pool", 1).withRole(role));
        Connection connection = pool.connection()) {
      return ask(connection, "select current_user");
    }
  }

  @Test
  void the_server_keeps_the_limits_that_a_pool_is_given(TestDatabase database) throws SQLException {
    PoolOptions options =
        PoolOptions.of("test-pool", 1)
            .withServerTimeouts(Duration.ofSeconds(70), Duration.ofSeconds(7));
    try (ConnectionPool pool = ConnectionPool.open(database.address(), options);
        Connection connection = pool.connection()) {
      assertThat(ask(connection, "show statement_timeout")).isEqualTo("70s");
      assertThat(ask(connection, "show idle_in_transaction_session_timeout")).isEqualTo("7s");
    }
  }

  @Test
  void a_pool_opens_while_the_database_is_down_and_outlives_its_restarts(DedicatedPostgres server) {
    server.stop();
    PoolOptions options =
        PoolOptions.of("test-pool", 2).withConnectionTimeout(Duration.ofMillis(500));
    try (ConnectionPool pool = ConnectionPool.open(server.database().address(), options)) {
      assertThatThrownBy(pool::connection)
          .isInstanceOf(SQLException.class)
          .satisfies(e -> assertThat(DatabaseFault.of(e)).contains(DatabaseFault.CONNECTION_LOST));
      server.startAgain();
      awaitAnswer(pool);
      server.restart(DedicatedPostgres.Shutdown.IMMEDIATE);
      awaitAnswer(pool);
      server.crash();
      awaitAnswer(pool);
    }
  }

  private static void awaitAnswer(ConnectionPool pool) {
    await()
        .atMost(Duration.ofSeconds(30))
        .ignoreExceptions()
        .until(
            () -> {
              try (Connection connection = pool.connection()) {
                return ask(connection, "select 1").equals("1");
              }
            });
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "a'b", "a b", "1a"})
  void a_role_that_would_need_quoting_is_refused(String role) {
    assertThatThrownBy(() -> PoolOptions.of("test-pool", 1).withRole(role))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("role must match");
  }

  private static String ask(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getString(1);
    }
  }
}
