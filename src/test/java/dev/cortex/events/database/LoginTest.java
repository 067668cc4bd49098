package dev.cortex.events.database;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.telemetry.EngineEvent;
import java.io.InputStream;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.UnaryOperator;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** As whom a Java user is logged in, and what becomes of a worker whose login is refused. */
@ExtendWith(PostgresExtension.class)
class LoginTest {
  private final TestDatabase database;

  LoginTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void what_a_url_leaves_out_comes_from_the_variables_of_psql() throws Exception {
    DatabaseAddress address = database.address("cortex_worker");
    ProcessBuilder builder =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                PrintLogin.class.getName(),
                "postgresql://")
            .redirectErrorStream(true);
    builder.environment().putAll(address.psqlVariables());
    builder.environment().put("PGPASSWORD", address.password().orElseThrow());
    Process process = builder.start();
    try (InputStream output = process.getInputStream()) {
      assertThat(new String(output.readAllBytes(), UTF_8))
          .contains("logged in as " + address.user());
    }
    assertThat(process.waitFor()).isZero();
  }

  @Test
  @Timeout(60)
  void a_worker_with_a_wrong_password_does_not_start() {
    assertRefused(address -> address.withLogin(address.user(), "wrong"), "28P01");
  }

  @Test
  @Timeout(60)
  void a_worker_without_a_password_does_not_start() {
    assertRefused(
        address ->
            DatabaseAddress.of("postgresql://", without("PGPASSFILE", address.psqlVariables())),
        "08004");
  }

  @Test
  @Timeout(60)
  void a_worker_of_a_database_that_does_not_exist_does_not_start() {
    assertRefused(address -> address.withDatabase("no_such_database"), "3D000");
  }

  private void assertRefused(UnaryOperator<DatabaseAddress> change, String state) {
    Queue<EngineEvent> told = new ConcurrentLinkedQueue<>();
    try (CortexEvents cortex =
        CortexEvents.connect(change.apply(database.address("cortex_worker")))
            .withTelemetry(told::add)) {
      assertThatThrownBy(() -> cortex.work(List.of()))
          .asInstanceOf(InstanceOfAssertFactories.throwable(SQLException.class))
          .extracting(SQLException::getSQLState)
          .isEqualTo(state);
    }
    assertThat(told).isEmpty();
  }

  private static Map<String, String> without(String name, Map<String, String> variables) {
    variables.remove(name);
    variables.put("HOME", "/nowhere");
    return variables;
  }
}
