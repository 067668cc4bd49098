package dev.cortex.events.delivery;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Who gets which events: registration, names, patterns. */
@ExtendWith(PostgresExtension.class)
class SubscriptionsTest {
  private final TestDatabase database;

  SubscriptionsTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void who_subscribes_to_an_alias_gets_the_events_of_its_canonical_type() throws SQLException {
    run("insert into cortex.event_types (type) values ('alias.canonical')");
    run(
        "insert into cortex.event_types (type, alias_of) values ('alias.other', 'alias.canonical')");
    register("by-alias", "alias.other");
    run("select cortex.emit('alias.canonical', 'test')");
    run("select cortex.emit('alias.other', 'test')");
    assertThat(number(deliveriesOf("by-alias"))).isEqualTo(2);
  }

  @Test
  void a_type_with_a_segment_that_begins_with_a_digit_can_be_subscribed_to() throws SQLException {
    run("insert into cortex.event_types (type) values ('login.2fa')");
    register("digits", "login.2fa");
    run("select cortex.emit('login.2fa', 'test')");
    assertThat(number(deliveriesOf("digits"))).isEqualTo(1);
  }

  @Test
  void patterns_that_no_known_type_matches_are_told() throws SQLException {
    run("insert into cortex.event_types (type) values ('told.known')");
    register("telling", "told.known", "told.*", "tolt.known", "nothing.*");
    assertThat(
            text(
                "select string_agg(p, ' ') from cortex.unmatched_patterns((select handler_id from"
                    + " cortex.handlers where name = 'telling')) p"))
        .isEqualTo("nothing.* tolt.known");
  }

  @Test
  void registering_again_and_again_uses_up_no_numbers() throws SQLException {
    register("first-number", "*");
    for (int i = 0; i < 50; i++) {
      run(
          "select cortex.register_handler('first-number', 'transactional', "
              + (1 + i % 2)
              + "::smallint, '30 s', array['*'])");
    }
    register("next-number", "*");
    assertThat(
            number(
                "select max(handler_id) - min(handler_id) from cortex.handlers where name like '%-number'"))
        .isEqualTo(1);
  }

  @Test
  void a_lock_that_anybody_can_take_delays_a_change_of_types_for_seconds_only()
      throws SQLException {
    try (Connection other = database.connection()) {
      run(other, "select pg_advisory_lock(hashtextextended('cortex.refresh_routes', 0))");
      assertThatThrownBy(() -> run("insert into cortex.event_types (type) values ('locked.out')"))
          .isInstanceOfSatisfying(
              SQLException.class, e -> assertThat(e.getSQLState()).isEqualTo("55P03"));
    }
  }

  @Test
  void types_and_subscriptions_change_only_where_each_statement_sees_what_is_committed()
      throws SQLException {
    try (Connection connection = database.connection()) {
      connection.setAutoCommit(false);
      connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      assertThatThrownBy(
              () ->
                  run(connection, "insert into cortex.event_types (type) values ('old.snapshot')"))
          .hasMessageContaining("must be changed at READ COMMITTED, was repeatable read");
    }
  }

  @Test
  void a_publication_of_all_tables_lets_deliveries_be_acknowledged() throws SQLException {
    run("insert into cortex.event_types (type) values ('published.event')");
    register("published", "published.event");
    run("select cortex.emit('published.event', 'test')");
    try (Connection superuser = database.superuserAddress().dataSource().getConnection()) {
      run(superuser, "create publication everything for all tables");
      try {
        run(superuser, "update cortex.deliveries set attempt = attempt + 1");
        run(superuser, "delete from cortex.deliveries");
      } finally {
        run(superuser, "drop publication everything");
      }
    }
    assertThat(number(deliveriesOf("published"))).isZero();
  }

  private static String deliveriesOf(String handler) {
    return "select count(*) from cortex.deliveries join cortex.handlers using (handler_id) where name = '"
        + handler
        + "'";
  }

  private void register(String handler, String... patterns) throws SQLException {
    run(
        "select cortex.register_handler('"
            + handler
            + "', 'transactional', 20::smallint, '30 s', array['"
            + String.join("', '", patterns)
            + "'])");
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection()) {
      run(connection, sql);
    }
  }

  private static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private long number(String sql) throws SQLException {
    return Long.parseLong(text(sql));
  }

  private String text(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getString(1);
    }
  }
}
