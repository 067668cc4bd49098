package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.SQLException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@ExtendWith(PostgresExtension.class)
class SettingsTest {
  private final TestFleet fleet;

  SettingsTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @Test
  void every_threshold_can_be_set_by_operators_and_by_no_worker() throws SQLException {
    assertThat(
            fleet.rows(
                """
                select a.attname
                  from pg_catalog.pg_attribute a
                 where a.attrelid = 'fleet.settings'::regclass
                   and a.attnum > 0
                   and has_column_privilege('cortex_operator', a.attrelid, a.attnum, 'update')
                       = (a.attname in ('only_row', 'schema_version'))
                    or a.attrelid = 'fleet.settings'::regclass
                   and a.attnum > 0
                   and has_column_privilege('cortex_worker', a.attrelid, a.attnum, 'update')
                """))
        .isEmpty();
  }

  @Test
  void a_change_of_any_threshold_goes_on_record_with_who_and_why() throws SQLException {
    String columns =
        "select column_name || ' ' || data_type from information_schema.columns"
            + " where table_schema = 'fleet' and table_name = 'settings'"
            + " and column_name not in ('only_row', 'schema_version')";
    for (String column : fleet.rows(columns)) {
      String name = column.substring(0, column.indexOf(' '));
      String change =
          switch (column.substring(name.length() + 1)) {
            case "interval" -> name + " + interval '1 second'";
            case "ARRAY" -> name + " || '{other}'";
            default -> name + " + 1";
          };
      fleet.run(
          "begin; set local cortex.reason = 'too loud'; update fleet.settings set %s = %s; commit"
              .formatted(name, change));
      fleet.run("update fleet.settings set %1$s = default".formatted(name));
      assertThat(
              fleet.rows(
                  """
                  select concat_ws(' | ', reason, database_user = session_user,
                                   (select string_agg(key, ',') from jsonb_object_keys(before) key),
                                   (select string_agg(key, ',') from jsonb_object_keys(after) key))
                    from cortex.operator_actions
                   where action = 'fleet_settings'
                   order by id desc
                   limit 2
                  """))
          .containsExactly(
              "no reason given | t | %1$s | %1$s".formatted(name),
              "too loud | t | %1$s | %1$s".formatted(name));
    }
  }

  @Test
  void every_threshold_says_what_it_means() throws SQLException {
    assertThat(
            fleet.rows(
                """
                select a.attname
                  from pg_catalog.pg_attribute a
                 where a.attrelid = 'fleet.settings'::regclass
                   and a.attnum > 0
                   and a.attname <> 'only_row'
                   and col_description(a.attrelid, a.attnum) is null
                """))
        .isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      quoteCharacter = '`',
      value = {
        "act_within = '0', act_within_is_positive",
        "fix_limit = 101, fix_limit_is_0_to_100",
        "fix_first_delay = '1 hour', fix_delays_are_at_least_a_second_and_in_order",
        "restart_limit = -1, restart_limit_is_0_to_100",
        "restart_window = '0', restart_window_is_positive",
        "active_within = '0', active_within_is_at_least_a_second",
        "anomaly_interval = '1 second', anomaly_interval_is_1_minute_to_1_day",
        "metrics_kept_for = '2 hours', metrics_are_kept_for_longer_than_they_are_compared",
        "disk_free_mb = -1, disk_free_mb_is_not_negative",
        "stale_after = '0', stale_after_is_at_least_a_second",
      })
  void a_value_that_makes_no_sense_is_refused_with_the_rule(String change, String rule) {
    assertThatThrownBy(() -> fleet.run("update fleet.settings set " + change))
        .isInstanceOf(SQLException.class)
        .hasMessageContaining(rule);
  }
}
