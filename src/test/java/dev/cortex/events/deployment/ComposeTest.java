package dev.cortex.events.deployment;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.cli.Main;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.DedicatedPostgres;
import dev.cortex.events.database.PostgresExtension;
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
import java.time.Duration;
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
  private static final Path LOGINS = ROOT.resolve("ops/compose/create-cortex.sql");
  private static final String PASSWORD = "compose";

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
  void no_password_stands_in_the_file_and_no_service_knows_more_of_them_than_it_needs() {
    assertThat(passwords("migrate")).containsExactly("PGPASSWORD=${MIGRATE_PASSWORD}");
    assertThat(passwords("worker-1")).hasSize(1).allMatch(it -> it.contains("${WORKER_PASSWORD"));
    assertThat(passwords("worker-2")).isEqualTo(passwords("worker-1"));
    assertThat(passwords("database")).hasSize(3).allMatch(it -> it.matches("(\\w+)=\\$\\{\\1:.*"));
  }

  private List<String> passwords(String service) {
    Map<?, ?> environment = (Map<?, ?>) services.get(service).get("environment");
    return environment.entrySet().stream()
        .map(Object::toString)
        .filter(entry -> entry.contains("PASSWORD"))
        .toList();
  }

  @Test
  void what_the_services_mount_is_in_the_repository() {
    assertThat(LOGINS).exists();
    assertThat(services.get("database").get("volumes").toString())
        .contains("./ops/compose/create-cortex.sql:");
    assertThat(ROOT.resolve("Dockerfile")).exists();
  }

  @Test
  void its_commands_migrate_and_work_side_by_side_as_the_logins_that_it_makes(
      DedicatedPostgres server) throws Exception {
    makeLogins(server.database().superuserAddress());
    DatabaseAddress database = server.database().address().withDatabase("compose");
    DatabaseAddress administrator = server.database().superuserAddress().withDatabase("compose");
    Process migrate = start(database, "compose", command("migrate"));
    assertThat(migrate.waitFor()).isZero();
    List<Process> workers = new ArrayList<>();
    try {
      workers.add(start(database, "worker", command("worker-1")));
      workers.add(start(database, "worker", command("worker-2")));
      awaitCount(
          administrator,
          "select count(*) from cortex.workers where name in ('worker-1', 'worker-2')",
          2);
      awaitCount(
          administrator, "select count(*) from cortex.handlers where name = 'worker-health'", 1);
      emitHeartbeat(administrator, "w-1");
      awaitCount(administrator, "select count(*) from fleet.worker_health", 1);
      for (Process worker : workers) {
        worker.destroy();
        assertThat(worker.waitFor()).isZero();
      }
    } finally {
      workers.forEach(Process::destroyForcibly);
    }
  }

  /**
   * The file as the image runs it, but for psql's own commands and a role that is there already.
   */
  private static void makeLogins(DatabaseAddress superuser) throws Exception {
    String script =
        Files.readString(LOGINS)
            .replaceAll("(?m)^\\\\.*$", "")
            .replaceAll(":'\\w+'", "'" + PASSWORD + "'")
            .replace("create role cortex_worker nologin;", "")
            .replaceAll("\\bcortex\\b", "compose");
    try (Connection connection = superuser.dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      for (String command : script.split(";", -1)) {
        if (command.contains("create")) {
          statement.execute(command);
        }
      }
      // The other roles are there as well, on a server of the tests.
      statement.execute("grant cortex_owner to compose");
    }
  }

  private static void awaitCount(DatabaseAddress database, String sql, long expected) {
    await()
        .atMost(Duration.ofMinutes(1))
        .until(
            () -> {
              try (Connection connection = database.dataSource().getConnection();
                  Statement statement = connection.createStatement();
                  ResultSet row = statement.executeQuery(sql)) {
                row.next();
                return row.getLong(1) == expected;
              }
            });
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

  private List<String> command(String service) {
    List<String> words = new ArrayList<>();
    ((List<?>) services.get(service).get("command")).forEach(word -> words.add((String) word));
    return words;
  }

  private static Process start(DatabaseAddress database, String login, List<String> arguments)
      throws IOException {
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
    builder.environment().put("PGUSER", login);
    builder.environment().put("PGPASSWORD", PASSWORD);
    builder.environment().put("PGSSLMODE", "disable");
    return builder.start();
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
