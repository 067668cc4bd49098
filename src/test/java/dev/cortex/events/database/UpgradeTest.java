package dev.cortex.events.database;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** What the release before this one has left in a database, once this one's migrations have run. */
@ExtendWith(PostgresExtension.class)
class UpgradeTest {
  private static final int RELEASED = 19;
  private static final MigrationOptions OPTIONS = MigrationOptions.defaults().withoutFleet();

  private final TestDatabase database;

  UpgradeTest(TestDatabase migrated) throws SQLException {
    database = migrated.emptySibling();
  }

  @BeforeEach
  void migrateAsReleased(@TempDir Path root) throws IOException {
    Path engine = Files.createDirectory(root.resolve("engine"));
    try (Stream<Path> scripts = Files.list(Path.of("migrations/engine"))) {
      for (Path script : scripts.filter(UpgradeTest::isReleased).toList()) {
        Files.copy(script, engine.resolve(script.getFileName()));
      }
    }
    assertThat(new Migrations(database.address(), OPTIONS, "filesystem:" + root + "/").migrate())
        .hasSize(RELEASED);
  }

  private static boolean isReleased(Path script) {
    String version = script.getFileName().toString().replaceAll("^V([0-9]+)__.*", "$1");
    return Integer.parseInt(version) <= RELEASED;
  }

  @AfterEach
  void drop() throws SQLException {
    database.close();
  }

  /** It was that of a leased handler, whose leases were counted; any mode asks for places now. */
  @Test
  void a_handler_with_a_limit_has_its_places() throws SQLException {
    run("insert into cortex.event_types (type) values ('test.limited')");
    run(
        """
        select cortex.register_handler('limited', 'leased', 20::smallint, '30 s', array['test.limited']);
        update cortex.handlers set max_running = 2""");

    Migrations.of(database.address(), OPTIONS).migrate();

    assertThat(ask("select cortex.take_place(handler_id) from cortex.handlers")).isEqualTo("t");
    assertThat(ask("select count(*) from cortex.handler_places")).isEqualTo("2");
    run("delete from cortex.handler_places where place = 2");
    run("select cortex.limit_running(handler_id, 2::smallint) from cortex.handlers");
    assertThat(ask("select count(*) from cortex.handler_places")).isEqualTo("2");
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
