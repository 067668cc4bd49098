package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.ByteArrayInputStream;
import java.io.StringReader;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Array;
import java.sql.Blob;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.sql.Wrapper;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.core.BaseConnection;
import org.postgresql.jdbc.PgConnection;
import org.postgresql.jdbc.PgStatement;
import org.postgresql.util.PGobject;

/** The transaction as a handler sees it. */
@ExtendWith(PostgresExtension.class)
class GuardedConnectionTest {
  private static final Set<Class<?>> LEADING_ON =
      Set.of(
          Connection.class,
          Statement.class,
          PreparedStatement.class,
          CallableStatement.class,
          ResultSet.class,
          ResultSetMetaData.class,
          ParameterMetaData.class,
          DatabaseMetaData.class,
          Array.class);

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

  static Stream<Map.Entry<String, Call>> whatStaysOnTheConnection() {
    return Map.<String, Call>of(
        "setHoldability",
            connection -> connection.setHoldability(ResultSet.HOLD_CURSORS_OVER_COMMIT),
        "setTypeMap", connection -> connection.setTypeMap(Map.of("oid", Integer.class)),
        "setQueryTimeout", connection -> server(connection).setQueryTimeout(1),
        "setDefaultFetchSize", connection -> server(connection).setDefaultFetchSize(1),
        "setPrepareThreshold", connection -> server(connection).setPrepareThreshold(1),
        "setAdaptiveFetch", connection -> server(connection).setAdaptiveFetch(true),
        "addDataType", connection -> server(connection).addDataType("oid", PGobject.class))
        .entrySet()
        .stream();
  }

  private static PGConnection server(Connection connection) throws SQLException {
    return connection.unwrap(PGConnection.class);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("whatStaysOnTheConnection")
  void what_would_stay_for_the_next_handler_is_refused(Map.Entry<String, Call> call) {
    assertThatThrownBy(() -> call.getValue().on(guard.connection()))
        .hasMessageContaining("a handler may not call " + call.getKey())
        .hasMessageContaining("it would stay")
        .satisfies(error -> assertThat(DatabaseFault.find(error)).isPresent());
  }

  @Test
  void the_map_of_types_is_none_of_the_drivers() throws SQLException {
    assertThat(guard.connection().getTypeMap()).isEmpty();
    assertThat(guard.connection().getTypeMap()).isNotSameAs(real.getTypeMap());
  }

  interface LargeCall {
    void on(Connection connection, ResultSet row, PreparedStatement statement) throws SQLException;
  }

  /** Each as a handler would call it with a large object that is there. */
  static Stream<Map.Entry<String, LargeCall>> whatHandlesALargeObject() {
    ByteArrayInputStream bytes = new ByteArrayInputStream(new byte[] {1});
    return Map.<String, LargeCall>of(
        "getLargeObjectAPI",
            (connection, row, statement) ->
                server(connection).getLargeObjectAPI().open(row.getLong(1), true).close(),
        "getBlob", (connection, row, statement) -> row.getBlob(1).length(),
        "getClob", (connection, row, statement) -> row.getClob(1).length(),
        "getObject", (connection, row, statement) -> row.getObject(1, Blob.class).length(),
        "setBlob", (connection, row, statement) -> statement.setBlob(1, bytes),
        "setObject", (connection, row, statement) -> statement.setObject(1, bytes, Types.BLOB),
        "createBlob", (connection, row, statement) -> connection.createBlob())
        .entrySet()
        .stream();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("whatHandlesALargeObject")
  void what_handles_a_large_object_is_refused_and_ends_no_transaction(
      Map.Entry<String, LargeCall> call) throws SQLException {
    Connection connection = guard.connection();
    String begunAt = transaction();
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select lo_from_bytea(0, 'a')");
        PreparedStatement prepared = connection.prepareStatement("select ?")) {
      row.next();
      assertThatThrownBy(() -> call.getValue().on(connection, row, prepared))
          .isInstanceOf(SQLException.class)
          .hasMessageContaining("a handler may not call " + call.getKey())
          .hasMessageContaining("lo_get");
    }
    assertThat(transaction()).isEqualTo(begunAt);
  }

  private String transaction() throws SQLException {
    try (Statement statement = real.createStatement();
        ResultSet row = statement.executeQuery("select pg_current_xact_id()")) {
      row.next();
      return String.valueOf(row.getString(1));
    }
  }

  /** So that what a newer driver adds is refused until somebody has looked at it. */
  @Test
  void of_the_drivers_own_interface_nothing_is_lent_but_what_is_listed() throws Exception {
    PGConnection server = server(guard.connection());
    Set<String> lent = new TreeSet<>();
    for (Method method : PGConnection.class.getMethods()) {
      Object[] arguments =
          Stream.of(method.getParameterTypes()).map(GuardedConnectionTest::argument).toArray();
      try {
        method.invoke(server, arguments);
        lent.add(method.getName());
      } catch (InvocationTargetException e) {
        if (!String.valueOf(e.getCause().getMessage()).contains("a handler may not call")) {
          lent.add(method.getName());
        }
      }
    }
    assertThat(lent)
        .containsExactly(
            "createArrayOf",
            "escapeIdentifier",
            "escapeLiteral",
            "getBackendPID",
            "getCopyAPI",
            "getNotifications",
            "getParameterStatus",
            "getParameterStatuses");
  }

  @Test
  void no_copy_replicates() throws SQLException {
    assertThatThrownBy(() -> server(guard.connection()).getCopyAPI().copyDual("copy t to stdout"))
        .hasMessageContaining("a handler may not call copyDual");
  }

  static Stream<String> whatItsTextShowsToBeTheEngines() {
    return Stream.of(
        "commit",
        "COMMIT",
        "commit work",
        "COMMIT AND CHAIN",
        "end",
        "end transaction",
        "rollback",
        "rollback work",
        "rollback and chain",
        "abort",
        "begin",
        "start transaction isolation level serializable",
        "prepare transaction 'one'",
        "commit prepared 'one'",
        "rollback prepared 'one'",
        " \t\r\n\f commit",
        "-- first\ncommit",
        "/* one /* in another */ */ commit",
        "/**/rollback/**/work/* to */",
        "prepare /* not a statement */ -- but\n transaction 'one'",
        ";commit",
        "; ;; commit;",
        "commit;",
        "begin; insert into guarded values (2); commit",
        "insert into guarded values (2); commit; begin",
        "insert into guarded values (2); -- and\n /* then */ commit",
        "select 'it''s;'; commit",
        "select e'it\\'s;'; commit",
        "select '\\'; commit --'",
        "select \"a;\" from (select 1 as \"a;\") t; commit",
        "select $$;$$; commit",
        "select $a$ $$ ; $a$; commit",
        "rollback to savepoint s; commit",
        "set transaction read only",
        "set local transaction isolation level repeatable read",
        "set transaction_read_only = on",
        "set session characteristics as transaction isolation level serializable",
        "set session session characteristics as transaction read only",
        "{oj commit}",
        "com{oj mit}");
  }

  @ParameterizedTest
  @MethodSource("whatItsTextShowsToBeTheEngines")
  void a_text_that_ends_begins_or_changes_a_transaction_is_refused_before_it_is_sent(String sql)
      throws SQLException {
    Connection connection = guard.connection();
    try (Statement statement = connection.createStatement();
        Statement bystander = connection.prepareStatement("select 1")) {
      statement.execute("create temporary table guarded (n int)");
      String transaction = transaction(statement);
      List<ThrowingCallable> ways =
          List.of(
              () -> statement.execute(sql),
              () -> statement.execute(sql, Statement.RETURN_GENERATED_KEYS),
              () -> statement.executeUpdate(sql),
              () -> statement.executeLargeUpdate(sql),
              () -> statement.executeQuery(sql),
              () -> statement.addBatch(sql),
              () -> bystander.getConnection().createStatement().execute(sql),
              () -> connection.prepareStatement(sql),
              () -> connection.prepareStatement(sql, Statement.RETURN_GENERATED_KEYS),
              () -> connection.prepareCall(sql),
              () -> connection.unwrap(PGConnection.class).getCopyAPI().copyIn(sql),
              () -> connection.unwrap(PGConnection.class).getCopyAPI().copyOut(sql));
      for (ThrowingCallable way : ways) {
        assertThatThrownBy(way)
            .asInstanceOf(InstanceOfAssertFactories.throwable(SQLException.class))
            .hasMessageContaining("a handler may not execute ")
            .extracting(SQLException::getSQLState)
            .isEqualTo("25001");
      }
      assertThat(transaction(statement)).isEqualTo(transaction);
    }
  }

  private static String transaction(Statement statement) throws SQLException {
    try (ResultSet row = statement.executeQuery("select now(), pg_current_xact_id()")) {
      row.next();
      return row.getString(1) + row.getString(2);
    }
  }

  static Stream<String> whatOnlyLooksLikeIt() {
    return Stream.of(
        "savepoint s",
        "savepoint s; rollback to s",
        "savepoint s; rollback work to savepoint s; release s",
        "savepoint s; /**/ rollback /**/ transaction -- to\n to s",
        "select 'commit'",
        "select '; commit'",
        "select 'it''s; commit'",
        "select e'it\\'s; commit'",
        "select $$; commit$$",
        "select $a$; commit; $$ $a$",
        "select 1 as \"; commit\"",
        "select 1 -- ; commit",
        "select 1 /* ; commit /* ; */ ; commit */",
        "select case when true then 1 end",
        "select '{\"commit\": 1}'::jsonb",
        "select {fn now()}",
        "prepare p as select 1",
        "set local lock_timeout = '1s'",
        "set constraints all deferred",
        "set local app.transaction = 'one'",
        "create temporary table commits (begin_at int, \"end\" int)",
        "do $$ begin perform 1; end $$",
        "create function pg_temp.atomic() returns int language sql begin atomic select 1; select 2;"
            + " end",
        "");
  }

  @ParameterizedTest
  @MethodSource("whatOnlyLooksLikeIt")
  void a_text_that_only_looks_like_it_works(String sql) throws SQLException {
    try (Statement statement = guard.connection().createStatement()) {
      String transaction = transaction(statement);
      statement.execute(sql);
      assertThat(transaction(statement)).isEqualTo(transaction);
    }
  }

  @Test
  void strings_are_read_as_the_server_reads_them() throws SQLException {
    try (Statement statement = guard.connection().createStatement()) {
      statement.execute("set local standard_conforming_strings = off");
      statement.execute("set local escape_string_warning = off");
      statement.execute("select '\\'; commit --'");
      assertThatThrownBy(() -> statement.execute("select '\\\\'; commit"))
          .hasMessageContaining("a handler may not execute COMMIT");
    }
  }

  @Test
  void a_call_works_as_written_for_the_driver() throws SQLException {
    try (CallableStatement call = guard.connection().prepareCall("{? = call abs(?)}")) {
      call.registerOutParameter(1, Types.INTEGER);
      call.setInt(2, -3);
      call.execute();
      assertThat(call.getInt(1)).isEqualTo(3);
    }
  }

  /** No text of the client's shows it, and the server does not let it through either. */
  @ParameterizedTest
  @ValueSource(strings = {"call guarded_commit()", "do $$ begin commit; end $$"})
  void what_commits_inside_of_the_server_is_refused_by_it(String sql) throws SQLException {
    try (Statement statement = guard.connection().createStatement()) {
      statement.execute(
          "create procedure guarded_commit() language plpgsql as $$ begin commit; end $$");
      assertThatThrownBy(() -> statement.execute(sql))
          .asInstanceOf(InstanceOfAssertFactories.throwable(SQLException.class))
          .extracting(SQLException::getSQLState)
          .isEqualTo("2D000");
    }
  }

  /** Every way that JDBC and the driver have from one of their objects to another one. */
  @Test
  void no_way_leads_past_the_guard() throws Exception {
    Connection connection = guard.connection();
    Statement statement = connection.createStatement();
    PreparedStatement prepared = connection.prepareStatement("select array[1, 2], 'text'");
    CallableStatement call = connection.prepareCall("select array[1, 2], 'text'");
    ResultSet row = prepared.executeQuery();
    row.next();
    Array array = row.getArray(1);
    call.execute();
    statement.execute("select 1");
    Map<Class<?>, Object> guarded = new LinkedHashMap<>();
    guarded.put(Connection.class, connection);
    guarded.put(PGConnection.class, connection.unwrap(PGConnection.class));
    guarded.put(PGStatement.class, prepared.unwrap(PGStatement.class));
    guarded.put(Array.class, array);
    guarded.put(ResultSet.class, row);
    guarded.put(ResultSetMetaData.class, row.getMetaData());
    guarded.put(ParameterMetaData.class, prepared.getParameterMetaData());
    guarded.put(DatabaseMetaData.class, connection.getMetaData());
    guarded.put(Statement.class, statement);
    guarded.put(PreparedStatement.class, prepared);
    guarded.put(CallableStatement.class, call);
    int ways = 0;
    for (Map.Entry<Class<?>, Object> from : guarded.entrySet()) {
      assertIsGuarded(from.getKey().getSimpleName(), from.getValue());
      for (Method method : from.getKey().getMethods()) {
        if (leadsOn(method.getReturnType())) {
          Savepoint before = real.setSavepoint();
          assertIsGuarded(method.toString(), result(from.getValue(), method));
          real.rollback(before);
          ways++;
        }
      }
    }
    assertThat(ways).isGreaterThan(80);
  }

  private static boolean leadsOn(Class<?> type) {
    return type == Object.class || LEADING_ON.contains(type);
  }

  /** Nothing where it cannot be had here, which leads nowhere. */
  private @Nullable Object result(Object from, Method method) throws IllegalAccessException {
    Object[] arguments =
        Stream.of(method.getParameterTypes()).map(GuardedConnectionTest::argument).toArray();
    try {
      return method.invoke(from, arguments);
    } catch (InvocationTargetException e) {
      assertThat(e.getCause()).as(method.toString()).isInstanceOf(SQLException.class);
      return null;
    }
  }

  private static @Nullable Object argument(Class<?> type) {
    if (type == int.class) {
      return 1;
    } else if (type == long.class) {
      return 1L;
    } else if (type == boolean.class) {
      return false;
    } else if (type == String.class) {
      return "select 1";
    } else if (type == Class.class) {
      return PgConnection.class;
    }
    return type == String[].class ? new String[] {"a"} : type == int[].class ? new int[] {1} : null;
  }

  private void assertIsGuarded(String way, @Nullable Object object) throws SQLException {
    if (object == null || !LEADING_ON.stream().anyMatch(leading -> leading.isInstance(object))) {
      return;
    }
    assertThat(Proxy.isProxyClass(object.getClass())).as(way).isTrue();
    assertThat(Proxy.getInvocationHandler(object))
        .as(way)
        .isInstanceOf(GuardedConnection.Guard.class);
    if (object instanceof Statement statement) {
      assertThat(statement.getConnection()).as(way).isSameAs(guard.connection());
    } else if (object instanceof DatabaseMetaData metadata) {
      assertThat(metadata.getConnection()).as(way).isSameAs(guard.connection());
    }
  }

  static Stream<Class<?>> whatIsBehindTheGuard() {
    return Stream.of(PgConnection.class, BaseConnection.class, PgStatement.class, Object.class);
  }

  @ParameterizedTest
  @MethodSource("whatIsBehindTheGuard")
  void what_is_behind_the_guard_is_not_unwrapped(Class<?> type) throws SQLException {
    Connection connection = guard.connection();
    for (Wrapper wrapper :
        List.of(connection, connection.getMetaData(), connection.createStatement())) {
      if (type == Object.class) {
        assertThat(wrapper.unwrap(type)).isSameAs(wrapper);
      } else {
        assertThat(wrapper.isWrapperFor(type)).isFalse();
        assertThatThrownBy(() -> wrapper.unwrap(type))
            .isInstanceOf(SQLException.class)
            .hasMessageContaining("a handler may not unwrap " + type.getName());
      }
    }
  }

  @Test
  void a_result_leads_back_to_the_statement_that_made_it() throws SQLException {
    try (Statement statement = guard.connection().createStatement();
        ResultSet row = statement.executeQuery("select array[1, 2]")) {
      assertThat(row.getStatement()).isSameAs(statement).isEqualTo(statement);
      row.next();
      assertThat(row.getArray(1).getResultSet().getStatement().getConnection())
          .isSameAs(guard.connection());
    }
  }

  @Test
  void arrays_and_copies_work() throws Exception {
    Connection connection = guard.connection();
    try (Statement statement = connection.createStatement()) {
      statement.execute("create temporary table copied (n int)");
    }
    connection
        .unwrap(PGConnection.class)
        .getCopyAPI()
        .copyIn("copy copied from stdin", new StringReader("1\n2\n"));
    try (PreparedStatement query =
        connection.prepareStatement("select count(*) from copied where n = any (?)")) {
      query.setArray(1, connection.createArrayOf("int", new Integer[] {1, 2}));
      try (ResultSet row = query.executeQuery()) {
        row.next();
        assertThat(row.getInt(1)).isEqualTo(2);
      }
    }
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
