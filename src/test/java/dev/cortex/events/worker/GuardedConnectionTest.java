package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Map;
import java.util.stream.Stream;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The transaction as a handler sees it. */
@ExtendWith(PostgresExtension.class)
class GuardedConnectionTest {
  private final TestDatabase database;
  private Connection real;
  private GuardedConnection guard;

  GuardedConnectionTest(TestDatabase database) throws SQLException {
    this.database = database;
    this.real = database.connection();
    this.guard = new GuardedConnection(real, hint -> {});
  }

  /** A call of a connection that may fail. */
  interface Call {
    void on(Connection connection) throws SQLException;
  }

  @BeforeEach
  void begin() throws SQLException {
    real.close();
    real = database.connection();
    real.setAutoCommit(false);
    guard = new GuardedConnection(real, hint -> {});
  }

  @AfterEach
  void end() throws SQLException {
    real.close();
  }

  static Stream<Map.Entry<String, Call>> whatEndsOrChangesTheTransaction() {
    return Map.<String, Call>of(
        "commit", Connection::commit,
        "rollback", Connection::rollback,
        "close", Connection::close,
        "abort", connection -> connection.abort(Runnable::run),
        "setAutoCommit", connection -> connection.setAutoCommit(true),
        "setReadOnly", connection -> connection.setReadOnly(true),
        "setTransactionIsolation",
            connection -> connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE),
        "setSchema", connection -> connection.setSchema("public"),
        "setNetworkTimeout", connection -> connection.setNetworkTimeout(Runnable::run, 1))
        .entrySet()
        .stream();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("whatEndsOrChangesTheTransaction")
  void what_ends_or_changes_the_transaction_is_refused(Map.Entry<String, Call> call)
      throws SQLException {
    assertThatThrownBy(() -> call.getValue().on(guard.connection()))
        .asInstanceOf(InstanceOfAssertFactories.throwable(SQLException.class))
        .hasMessageContaining("a handler may not call " + call.getKey())
        .extracting(SQLException::getSQLState)
        .isEqualTo("25001");
    assertThat(real.isClosed()).isFalse();
    assertThat(real.getAutoCommit()).isFalse();
  }

  @Test
  void statements_and_savepoints_work() throws SQLException {
    Connection connection = guard.connection();
    Savepoint savepoint = connection.setSavepoint();
    try (Statement statement = connection.createStatement()) {
      statement.execute("create temporary table t (n int)");
    }
    connection.rollback(savepoint);
    connection.releaseSavepoint(savepoint);
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select to_regclass('t')")) {
      row.next();
      assertThat(row.getString(1)).isNull();
    }
  }

  @Test
  void a_statement_leads_back_to_the_guarded_connection() throws SQLException {
    try (Statement statement = guard.connection().createStatement()) {
      assertThatThrownBy(() -> statement.getConnection().close())
          .hasMessageContaining("a handler may not call close");
    }
    try (Statement statement = guard.connection().prepareStatement("select 1")) {
      assertThatThrownBy(() -> statement.getConnection().commit())
          .hasMessageContaining("a handler may not call commit");
    }
    assertThat(real.isClosed()).isFalse();
  }

  @Test
  void a_statement_that_was_kept_does_not_work_once_the_handler_has_returned() throws SQLException {
    Statement kept = guard.connection().createStatement();
    guard.revoke();

    assertThatThrownBy(() -> kept.execute("select 1"))
        .isInstanceOf(SQLException.class)
        .hasMessageContaining("the handler has returned");
  }

  @Test
  void an_error_of_the_database_arrives_as_it_is() {
    assertThatThrownBy(() -> guard.connection().createStatement().execute("select 1/0"))
        .asInstanceOf(InstanceOfAssertFactories.throwable(SQLException.class))
        .extracting(SQLException::getSQLState)
        .isEqualTo("22012");
  }

  @Test
  void nothing_works_once_the_handler_has_returned() {
    guard.revoke();

    assertThatThrownBy(() -> guard.connection().createStatement())
        .isInstanceOf(SQLException.class)
        .hasMessageContaining("the handler has returned");
    assertThat(guard.connection().toString()).isNotEmpty();
  }
}
