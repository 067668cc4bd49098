package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What commands do about the database itself: bring it up to date, or say what is wrong with it.
 */
@ExtendWith(PostgresExtension.class)
class InstallationTest {
  private static final String EMPTY = "cli_empty";

  private final TestDatabase database;
  private TestCommandLine cortex;
  private TestCommandLine onEmpty;

  InstallationTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void an_empty_database() throws SQLException {
    cortex = TestCommandLine.on(database);
    superuser("create database " + EMPTY);
    superuser("grant create on database " + EMPTY + " to cli");
    onEmpty = TestCommandLine.on(database, EMPTY);
  }

  @AfterEach
  void drop_it() throws SQLException {
    superuser("drop database if exists " + EMPTY + " with (force)");
  }

  @Test
  void a_database_that_is_not_there_is_the_installations_fault() {
    Answer answer = TestCommandLine.on(database, "nowhere_at_all").run("status");
    assertThat(answer.status()).isEqualTo(78);
    assertThat(answer.err()).contains("nowhere_at_all").contains("3D000");
  }

  @Test
  void who_may_not_migrate_is_told_so_with_the_servers_reason() throws SQLException {
    superuser("drop role if exists cli_stranger");
    superuser("create role cli_stranger login password 'cli' in role cortex_emitter");
    Answer answer =
        TestCommandLine.at(database.address().jdbcUrl() + "?user=cli_stranger&password=cli")
            .run("migrate");
    superuser("drop role cli_stranger");
    assertThat(answer.status()).isEqualTo(77);
    assertThat(answer.err()).contains("migration of schema cortex").contains("permission denied");
  }

  @Test
  void migrate_brings_an_empty_database_up_to_date_once() throws Exception {
    Answer pending = onEmpty.run("migrate", "--dry-run");
    assertThat(pending.status()).as(pending.err()).isZero();
    Answer applied = onEmpty.run("migrate");
    assertThat(applied.status()).as(applied.err()).isZero();
    assertThat(applied.out()).isEqualTo(pending.out());
    assertThat(applied.out().lines())
        .anyMatch(line -> line.startsWith("SCHEMA"))
        .anyMatch(line -> line.startsWith("cortex "))
        .anyMatch(line -> line.startsWith("fleet "));
    Answer again = onEmpty.run("migrate");
    assertThat(again.status()).as(again.err()).isZero();
    assertThat(again.out()).contains("up to date");
    assertThat(new ObjectMapper().readTree(onEmpty.run("migrate", "--json").out())).isEmpty();
    assertThat(onEmpty.run("status").status()).isZero();
  }

  @Test
  void the_engine_can_be_migrated_without_the_fleet() {
    assertThat(onEmpty.run("migrate", "--no-fleet").out())
        .contains("cortex ")
        .doesNotContain("fleet ");
  }

  @Test
  void a_worker_refuses_a_database_without_the_fleet_or_with_an_older_one() throws SQLException {
    onEmpty.run("migrate", "--no-fleet");
    Answer without = onEmpty.run("worker", "--drain");
    assertThat(without.status()).as(without.err()).isEqualTo(78);
    assertThat(without.err()).contains("schema fleet: must have at least version ");
    onEmpty.run("migrate");
    assertThat(onEmpty.run("worker", "--drain").status()).isZero();
    onEmptySuperuser("update fleet.settings set schema_version = 1");
    Answer older = onEmpty.run("worker", "--drain");
    assertThat(older.status()).as(older.err()).isEqualTo(78);
    assertThat(older.err()).contains("but the database has version 1; run `cortex migrate`");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "status",
        "events",
        "handlers",
        "schedules",
        "trace some-id",
        "audit some-id",
        "dead-letters some-handler",
        "emit task.failed --source me",
        "emit -",
        "import .",
        "retry some-id some-handler --reason why",
        "redrive some-handler --reason why",
        "cancel some-id --reason why",
        "pause some-handler --reason why",
        "resume some-handler --reason why",
        "worker --drain"
      })
  void without_the_schema_a_command_ends_with_78_and_says_what_to_do(String command) {
    Answer answer = onEmpty.run(command.split(" "));
    assertThat(answer.status()).as(answer.err()).isEqualTo(78);
    assertThat(answer.out()).isEmpty();
    assertThat(answer.err()).contains("cortex migrate").doesNotContain("\tat ");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "status",
        "events",
        "migrate",
        "spool drain",
        "emit task.failed --source me --no-spool",
        "emit - --no-spool"
      })
  void a_database_that_is_away_ends_with_69_and_shows_no_password(String command) {
    TestCommandLine away = TestCommandLine.at("postgresql://u:secret@127.0.0.1:1/db");
    Answer answer = away.run(command.split(" "));
    assertThat(answer.status()).as(answer.err()).isEqualTo(69);
    assertThat(answer.err())
        .startsWith("cortex: ")
        .doesNotContain("secret")
        .doesNotContain("\tat ");
  }

  @Test
  void a_directory_that_is_refused_is_refused_before_anything_is_said_to_be_made(
      @TempDir Path parent) throws IOException {
    Path open = Files.createDirectory(parent.resolve("open"));
    Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxr-xr-x"));

    Answer answer = cortex.run("status", "--data-dir", open.toString());

    assertThat(answer.status()).isEqualTo(78);
    assertThat(answer.err()).contains("must be closed to others").doesNotContain("making");
    assertThat(open).isEmptyDirectory();
  }

  @Test
  void a_grace_time_out_of_range_is_refused_by_the_name_of_its_option() {
    Answer answer = cortex.run("worker", "--grace", "-1");

    assertThat(answer.status()).isEqualTo(64);
    assertThat(answer.err()).startsWith("cortex: --grace must be 0 to 86400, was -1");
  }

  @Test
  void an_option_names_the_database_before_the_environment_does() {
    assertThat(cortex.run("--database-url", "postgresql://u@127.0.0.1:1/db", "status").status())
        .isEqualTo(69);
    Answer both = cortex.run("status", "--database-url", "postgresql://u@h/db", "--data-dir", "d");
    assertThat(both.status()).isEqualTo(64);
    assertThat(both.err()).contains("--database-url and --data-dir exclude each other");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "no-such-command",
        "status --no-such-option",
        "status too many",
        "emit",
        "emit task.failed",
        "trace",
        "worker --slots 0",
        "worker --slots many",
        "worker --grace -1",
        "status --role-prefix Not!"
      })
  void a_wrong_call_ends_with_64_and_points_at_the_help(String command) {
    Answer answer = cortex.run(command.split(" "));
    assertThat(answer.status()).as(answer.err()).isEqualTo(64);
    assertThat(answer.out()).isEmpty();
    assertThat(answer.err()).startsWith("cortex: ").contains("Try: cortex").contains("--help");
  }

  @Test
  void help_and_version_are_answers() {
    assertThat(cortex.run("--help").out()).contains("Exit status:");
    assertThat(cortex.run("emit", "--help").out()).contains("--dedupe-key");
    Answer version = cortex.run("--version");
    assertThat(version.status()).isZero();
    assertThat(version.out()).isNotBlank();
    assertThat(cortex.run().status()).isEqualTo(64);
  }

  @Test
  void a_login_without_the_role_is_not_permitted() throws SQLException {
    superuser("revoke cortex_operator, cortex_owner, " + database.address().user() + " from cli");
    Answer answer = cortex.run("pause", "some-handler", "--reason", "a test");
    assertThat(answer.status()).as(answer.err()).isEqualTo(77);
  }

  private void onEmptySuperuser(String sql) throws SQLException {
    try (Connection connection =
            database.superuserAddress().withDatabase(EMPTY).dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private void superuser(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
