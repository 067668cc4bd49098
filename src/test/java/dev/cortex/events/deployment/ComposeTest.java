package dev.cortex.events.deployment;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.cli.Main;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.outbox.Outbox;
import java.io.IOException;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.yaml.snakeyaml.Yaml;

/**
 * compose.yaml, as far as it goes without an engine: what it says, and its commands as processes.
 */
@ExtendWith(PostgresExtension.class)
class ComposeTest {
  private static final Path ROOT = Path.of(System.getProperty("project.basedir", "."));

  private final Map<String, Map<String, Object>> services = services();

  @Test
  void the_database_is_postgresql_18_with_a_health_check_that_the_migration_waits_for() {
    assertThat(services.get("database"))
        .containsEntry("image", "postgres:18")
        .containsKey("healthcheck");
    assertThat(services.get("migrate").get("depends_on").toString()).contains("service_healthy");
    assertThat(services.get("worker-1").get("depends_on").toString())
        .contains("service_completed_successfully");
    assertThat(services.get("worker-2").get("depends_on").toString())
        .contains("service_completed_successfully");
  }

  @Test
  void no_password_stands_in_the_file() {
    services.values().stream()
        .map(service -> service.get("environment").toString())
        .forEach(environment -> assertThat(environment).contains("PASSWORD=${CORTEX_PASSWORD"));
  }

  @Test
  void what_the_services_mount_is_in_the_repository() {
    assertThat(ROOT.resolve("ops/compose/create-cortex.sh")).isExecutable();
    assertThat(ROOT.resolve("Dockerfile")).exists();
  }

  @Test
  void its_commands_migrate_and_work_as_processes(TestDatabase server) throws Exception {
    // As ops/compose/create-cortex.sh does it; the roles are there already on the tests' server.
    try (Connection connection = server.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute("drop role if exists compose");
      statement.execute("create role compose login createrole password 'compose'");
      statement.execute("grant cortex_owner, cortex_worker to compose");
      statement.execute("create database compose owner compose");
    }
    DatabaseAddress database =
        server.address().withDatabase("compose").withLogin("compose", "compose");
    try {
      assertThat(run(database, command("migrate"))).isZero();
      // The first start makes the handlers known; what was emitted before is not theirs.
      emitHeartbeat(database, "w-1");
      assertThat(run(database, drained("worker-1"))).isZero();
      emitHeartbeat(database, "w-2");
      assertThat(run(database, drained("worker-2"))).isZero();
      try (Connection connection = database.dataSource().getConnection();
          Statement statement = connection.createStatement();
          ResultSet row =
              statement.executeQuery(
                  "select string_agg(worker_id, ',') from fleet.worker_health")) {
        row.next();
        assertThat(row.getString(1)).isEqualTo("w-2");
      }
    } finally {
      try (Connection connection = server.superuserAddress().dataSource().getConnection();
          Statement statement = connection.createStatement()) {
        statement.execute("drop database if exists compose with (force)");
        statement.execute("drop role compose");
      }
    }
  }

  private static void emitHeartbeat(DatabaseAddress database, String worker) throws SQLException {
    try (Connection connection = database.dataSource().getConnection()) {
      new Outbox()
          .emit(
              connection,
              EventDraft.of("worker.heartbeat", worker)
                  .withPayload("{\"worker_id\": \"" + worker + "\"}"));
    }
  }

  private List<String> drained(String service) {
    List<String> command = new ArrayList<>(command(service));
    command.add("--drain");
    return command;
  }

  private List<String> command(String service) {
    List<String> words = new ArrayList<>();
    ((List<?>) services.get(service).get("command")).forEach(word -> words.add((String) word));
    return words;
  }

  private static int run(DatabaseAddress database, List<String> arguments) throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName()));
    command.addAll(arguments);
    ProcessBuilder builder = new ProcessBuilder(command).inheritIO();
    builder.environment().putAll(database.psqlVariables());
    builder.environment().put("PGPASSWORD", "compose");
    builder.environment().put("PGSSLMODE", "disable");
    return builder.start().onExit().get().exitValue();
  }

  private static Map<String, Map<String, Object>> services() {
    try (Reader file =
        Files.newBufferedReader(ROOT.resolve("compose.yaml"), StandardCharsets.UTF_8)) {
      Map<String, Map<String, Map<String, Object>>> compose = new Yaml().load(file);
      return compose.get("services");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
