package dev.cortex.events.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class PostgresExtensionTest {
  private final TestDatabase database;

  PostgresExtensionTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void a_class_has_one_database_of_its_own(TestDatabase same) {
    assertThat(same).isSameAs(database);
    assertThat(same.address().database()).startsWith("cortex_test_");
  }

  @Test
  void its_schema_is_the_one_that_this_program_needs() throws SQLException {
    try (Connection connection = database.connection()) {
      SchemaVersion.require(connection);
    }
  }

  @Test
  void a_role_is_entered_by_a_login_that_is_nothing_else() throws SQLException {
    for (String role : RoleNames.defaults().members()) {
      try (Connection connection = database.address(role).dataSource().getConnection();
          Statement statement = connection.createStatement();
          ResultSet row =
              statement.executeQuery(
                  """
                  select string_agg(r.rolname, ',')
                  from pg_roles r
                  where pg_has_role(r.oid, 'MEMBER') and r.rolname <> current_user
                    and r.rolname ~ '^pg_|^cortex_(owner|emitter|worker|auditor|operator)$'
                  """)) {
        row.next();
        assertThat(row.getString(1)).isEqualTo(role);
      }
    }
  }

  @Test
  void the_owner_is_no_superuser() {
    assertThatThrownBy(
            () -> {
              try (Connection connection = database.connection();
                  Statement statement = connection.createStatement()) {
                statement.execute("select * from pg_authid");
              }
            })
        .extracting(e -> ((SQLException) e).getSQLState())
        .isEqualTo("42501");
  }

  @Nested
  class Inside {
    @Test
    void a_nested_class_shares_it(TestDatabase same) {
      assertThat(same).isSameAs(database);
    }
  }
}
