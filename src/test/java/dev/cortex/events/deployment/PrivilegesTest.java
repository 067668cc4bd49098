package dev.cortex.events.deployment;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What the roles of SECURITY.md may do, asked of the server's own catalogue. */
@ExtendWith(PostgresExtension.class)
class PrivilegesTest {

  /** Parameters: role, privilege. Partitions too, each by its name. */
  private static final String OF_TABLES = relations("has_table_privilege(?, c.oid, ?)");

  /** Parameters: role, privilege. A privilege on a whole table is one on its columns. */
  private static final String OF_TABLES_OR_COLUMNS =
      relations("has_any_column_privilege(?, c.oid, ?)");

  private final TestDatabase database;

  PrivilegesTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void an_emitter_reads_two_columns_of_the_log_and_nothing_else() throws SQLException {
    assertThat(allowed("cortex_emitter", "select")).containsExactly("cortex.events");
    assertThat(
            strings(
                """
                select attname
                  from pg_attribute
                 where attrelid = 'cortex.events'::regclass
                   and attnum > 0
                   and has_column_privilege('cortex_emitter', attrelid, attnum, 'select')
                 order by 1
                """))
        .containsExactly("id", "received_at");
    assertThat(allowed("cortex_emitter", "insert")).containsExactly("cortex.events");
  }

  @ParameterizedTest
  @ValueSource(strings = {"insert", "update", "delete", "truncate"})
  void an_auditor_changes_nothing(String privilege) throws SQLException {
    assertThat(allowed("cortex_auditor", privilege)).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"cortex_emitter", "cortex_worker", "cortex_operator"})
  void nobody_but_the_owner_changes_what_is_in_the_log_or_in_the_audit(String role)
      throws SQLException {
    for (String privilege : List.of("update", "delete", "truncate")) {
      assertThat(allowed(role, privilege))
          .as(privilege)
          .noneMatch(table -> table.matches("cortex\\.(events|attempts|operator_actions).*"));
    }
  }

  /** Where the engine writes files is nobody's to say who may only work with the database. */
  @ParameterizedTest
  @ValueSource(strings = {"cortex_auditor", "cortex_emitter", "cortex_operator", "cortex_worker"})
  void nobody_but_the_owner_points_the_engine_at_files(String role) throws SQLException {
    assertThat(
            strings(
                """
                select attrelid::regclass || '.' || attname
                  from pg_attribute
                 where attrelid in ('cortex.settings'::regclass, 'fleet.settings'::regclass)
                   and attnum > 0
                   and attname ~ '(directory|path|file)'
                   and (has_column_privilege(?, attrelid, attnum, 'update')
                        or has_column_privilege(?, attrelid, attnum, 'insert'))
                """,
                role,
                role))
        .isEmpty();
    assertThatThrownBy(() -> update(role, "update cortex.settings set archive_directory = '/tmp'"))
        .isInstanceOf(SQLException.class)
        .extracting(error -> ((SQLException) error).getSQLState())
        .isEqualTo("42501");
  }

  /** How long things are kept is an operator's to say. */
  @Test
  void an_operator_says_how_long_things_are_kept() throws SQLException {
    assertThat(update("cortex_operator", "update cortex.settings set records_kept_for = '90 days'"))
        .isEqualTo(1);
  }

  private int update(String role, String sql) throws SQLException {
    try (Connection connection = database.address(role).dataSource().getConnection();
        PreparedStatement statement = connection.prepareStatement(sql)) {
      return statement.executeUpdate();
    }
  }

  /** Function, and who may call it beside the owner. */
  @ParameterizedTest
  @CsvSource({
    "'cortex.backfill(text,text,timestamptz,timestamptz,integer,boolean)', operator",
    "'cortex.cancel_backfill(text,text)', operator",
    "'cortex.replay(text,text,date,text,text,text,text,text,bigint,integer,boolean)', operator",
    "'cortex.rename_handler(text,text,text)', operator",
    "'cortex.retire_handler(text,text,text)', operator",
    "'cortex.reinstate_handler(text,text)', operator",
    "'cortex.step_backfills(integer,text)', operator worker",
    "'cortex.step_retirements(integer)', operator worker",
    "'cortex.step_backfill(integer,integer)', ''",
    "'cortex.step_retirement(smallint,integer)', ''",
    "'cortex.have_older_ended(xid8)', ''",
    "'cortex.lock_log_shared()', ''"
  })
  void the_life_of_handlers_and_of_old_events_is_the_operators(String function, String roles)
      throws SQLException {
    List<String> allowed = new ArrayList<>();
    for (String role : List.of("auditor", "emitter", "operator", "worker")) {
      if (strings(
              "select has_function_privilege(?, ?, 'execute')::text", "cortex_" + role, function)
          .equals(List.of("true"))) {
        allowed.add(role);
      }
    }
    assertThat(String.join(" ", allowed)).isEqualTo(roles);
  }

  @Test
  void no_function_is_open_to_everybody() throws SQLException {
    assertThat(
            strings(
                """
                select p.oid::regprocedure::text
                  from pg_proc p
                  join pg_namespace n on n.oid = p.pronamespace
                  left join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a on true
                 where n.nspname in ('cortex', 'fleet')
                   and a.grantee = 0
                """))
        .isEmpty();
  }

  @Test
  void every_function_that_runs_as_its_owner_pins_its_search_path() throws SQLException {
    assertThat(
            strings(
                """
                select p.oid::regprocedure::text
                  from pg_proc p
                  join pg_namespace n on n.oid = p.pronamespace
                 where n.nspname in ('cortex', 'fleet')
                   and p.prosecdef
                   and not exists (
                     select from unnest(p.proconfig) s(setting) where s.setting ~ '^search_path=.*, *pg_temp$')
                """))
        .isEmpty();
  }

  private List<String> allowed(String role, String privilege) throws SQLException {
    boolean isOfRows = List.of("delete", "truncate").contains(privilege);
    return strings(isOfRows ? OF_TABLES : OF_TABLES_OR_COLUMNS, role, privilege);
  }

  private static String relations(String condition) {
    return """
        select n.nspname || '.' || c.relname
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('cortex', 'fleet')
           and c.relkind in ('r', 'p', 'v')
           and %s
         order by 1
        """
        .formatted(condition);
  }

  private List<String> strings(String sql, String... parameters) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < parameters.length; i++) {
        statement.setString(i + 1, parameters[i]);
      }
      List<String> found = new ArrayList<>();
      try (ResultSet rows = statement.executeQuery()) {
        while (rows.next()) {
          found.add(rows.getString(1));
        }
      }
      return found;
    }
  }
}
