package dev.cortex.events.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.event.ErrorCode;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Runs steps of its own, in an empty database: what is tested is how they are run. */
@ExtendWith(PostgresExtension.class)
class MigrationsTest {
  private static final List<Migration> ENGINE =
      List.of(
          new Migration("cortex", "1", "roles and settings"),
          new Migration("cortex", "2", "second step"));

  private static final Migration FLEET = new Migration("fleet", "1", "workers");

  private static final MigrationOptions OPTIONS =
      MigrationOptions.defaults().withRoles(RoleNames.withPrefix("sample_"));

  private final TestDatabase database;

  MigrationsTest(TestDatabase migrated) throws SQLException {
    database = migrated.emptySibling();
  }

  @BeforeEach
  void makeBusyTable() throws SQLException {
    run("create table public.busy (n integer)");
  }

  @AfterEach
  void drop() throws SQLException {
    database.close();
  }

  @Test
  void both_schemas_are_brought_up_to_date_once() throws SQLException {
    assertThat(migrations("sample").pending()).hasSize(3).containsAll(ENGINE).contains(FLEET);
    assertThat(migrations("sample").migrate()).containsExactly(ENGINE.get(0), ENGINE.get(1), FLEET);
    assertThat(migrations("sample").pending()).isEmpty();
    assertThat(migrations("sample").migrate()).isEmpty();
    run("select from cortex.schema_history, fleet.schema_history");
  }

  @Test
  void the_engine_can_be_migrated_alone() throws SQLException {
    assertThat(migrations("sample", OPTIONS.withoutFleet()).migrate()).isEqualTo(ENGINE);
    assertThat(ask("select to_regnamespace('fleet') is null")).isEqualTo("t");
  }

  @Test
  void roles_are_left_to_the_administrator_where_asked() throws SQLException {
    MigrationOptions options =
        OPTIONS.withRoles(RoleNames.withPrefix("absent_")).withoutCreatingRoles();
    migrations("sample", options).migrate();
    assertThat(ask("select count(*) from pg_roles where rolname like 'absent%'")).isEqualTo("0");
  }

  @Test
  void two_processes_that_migrate_at_once_apply_each_step_once() {
    CompletableFuture<List<Migration>> other =
        CompletableFuture.supplyAsync(() -> migrations("sample").migrate());
    List<Migration> mine = migrations("sample").migrate();
    assertThat(mine.size() + other.join().size()).isEqualTo(3);
  }

  @Test
  void a_step_that_cannot_have_its_lock_steps_back_and_says_so() throws SQLException {
    Migrations patient = migrations("busy", OPTIONS.withLockTimeout(Duration.ofMillis(50), 2));
    try (Connection holder = database.connection();
        Statement statement = holder.createStatement()) {
      holder.setAutoCommit(false);
      statement.execute("lock table public.busy in access share mode");
      assertThatThrownBy(patient::migrate)
          .isInstanceOfSatisfying(
              MigrationFailedException.class,
              e -> {
                assertThat(e.code()).isEqualTo(ErrorCode.TEMPORARY);
                assertThat(e.schema()).isEqualTo("cortex");
              })
          .hasMessageContaining("in 2 attempts");
      holder.rollback();
    }
    assertThat(patient.migrate()).hasSize(1);
  }

  @Test
  void a_broken_step_leaves_nothing_and_is_the_installations_fault() throws SQLException {
    assertThatThrownBy(migrations("broken")::migrate)
        .isInstanceOfSatisfying(
            MigrationFailedException.class,
            e -> assertThat(e.code()).isEqualTo(ErrorCode.CONFIGURATION))
        .hasMessageContaining("nonsense");
    assertThat(ask("select to_regclass('cortex.broken') is null")).isEqualTo("t");
  }

  @Test
  void a_server_that_is_not_there_is_unavailable() {
    DatabaseAddress nowhere = DatabaseAddress.of("postgresql://u:p@127.0.0.1:1/d");
    assertThatThrownBy(Migrations.of(nowhere, OPTIONS)::migrate)
        .isInstanceOfSatisfying(
            MigrationFailedException.class,
            e -> assertThat(e.code()).isEqualTo(ErrorCode.UNAVAILABLE));
  }

  @Test
  void a_schema_must_exist_be_new_enough_and_still_serve_us() throws SQLException {
    assertMismatch("run `cortex migrate`", OptionalInt.empty());
    migrations("sample").migrate();
    run("update cortex.settings set schema_version = " + SchemaVersion.CURRENT);
    require();
    run("update cortex.settings set schema_version = 0");
    assertMismatch(
        "must be at least " + SchemaVersion.CURRENT + ", but the database has 0",
        OptionalInt.of(0));
    run("update cortex.settings set schema_version = 7, minimum_worker = 1");
    require();
    run("update cortex.settings set minimum_worker = 7");
    assertMismatch("serves workers from 7 on", OptionalInt.of(7));
  }

  private void assertMismatch(String part, OptionalInt found) {
    assertThatThrownBy(this::require)
        .isInstanceOfSatisfying(
            SchemaMismatchException.class, e -> assertThat(e.found()).isEqualTo(found))
        .hasMessageContaining(part);
  }

  private void require() throws SQLException {
    try (Connection connection = database.connection()) {
      SchemaVersion.require(connection);
    }
  }

  private Migrations migrations(String root) {
    return migrations(root, OPTIONS);
  }

  private Migrations migrations(String root, MigrationOptions options) {
    return new Migrations(
        database.address(), options, "classpath:dev/cortex/events/database/" + root + "/");
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private String ask(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getString(1);
    }
  }
}
