package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.database.EmbeddedPostgres;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex database} as a process: what it prints, and who holds the server afterwards. */
class DatabaseCommandTest {
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private final Path parent;
  private final Path server;
  private final TestCommandLine cortex = TestCommandLine.at("postgresql://nobody@127.0.0.1:1/no");
  private int runs;

  /** Single quotes too: the directory is printed for a shell to read. */
  DatabaseCommandTest(@TempDir Path parent) {
    this.parent = parent;
    this.server = parent.resolve("it's here");
  }

  @BeforeEach
  void whoever_runs_the_server_may_enter() throws IOException {
    Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  @AfterEach
  void the_server_ends_with_its_last_holder() throws IOException {
    holders().forEach(ProcessHandle::destroy);
    await().atMost(PATIENCE).until(() -> !EmbeddedPostgres.status(server).isRunning());
  }

  @Test
  void elsewhere_than_on_a_terminal_it_prints_the_variables_and_leaves_a_holder_behind()
      throws Exception {
    assertThat(run("database"))
        .contains("# postgresql://cortex@127.0.0.1:")
        .contains("# without its password, which psql takes from the file that PGPASSFILE names")
        .contains("export PGDATABASE='cortex'")
        .contains("export CORTEX_DATA_DIR='" + server.toString().replace("'", "'\\''") + "'");
    assertThat(EmbeddedPostgres.status(server).isRunning()).isTrue();
    assertThat(holders()).hasSize(1);
    assumeTrue(Files.exists(Path.of("/proc/self/stat")));
    long holder = holders().get(0).pid();
    assertThat(session(holder)).as("a Ctrl-C at the prompt does not reach it").isEqualTo(holder);
  }

  @Test
  void asked_again_and_again_it_leaves_one_holder_behind() throws Exception {
    run("database");
    ProcessHandle first = holders().get(0);
    run("database");
    run("database");
    await().atMost(PATIENCE).until(() -> holders().size() == 1);
    assertThat(holders()).containsExactly(first);
  }

  @Test
  void told_not_to_hold_it_leaves_nothing_behind() throws Exception {
    JsonNode answer = new ObjectMapper().readTree(run("database", "--no-hold", "--json"));
    assertThat(answer.path("embedded").asBoolean()).isTrue();
    assertThat(answer.path("url").asText()).startsWith("postgresql://cortex@127.0.0.1:");
    assertThat(answer.path("variables").path("CORTEX_DATA_DIR").asText())
        .isEqualTo(server.toString());
    assertThat(holders()).isEmpty();
  }

  private String run(String... arguments) throws Exception {
    Path log = parent.resolve("log-" + runs++);
    Process process = cortex.start(log, arguments(arguments));
    try {
      assertThat(process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
    } finally {
      process.destroyForcibly();
    }
    String output = Files.readString(log);
    assertThat(process.exitValue()).as(output).isZero();
    return output
        .lines()
        .filter(line -> !line.startsWith("cortex: ")) // remarks
        .reduce("", (all, line) -> all + line + "\n");
  }

  private String[] arguments(String... arguments) {
    String[] all = new String[arguments.length + 2];
    System.arraycopy(arguments, 0, all, 0, arguments.length);
    all[arguments.length] = "--data-dir";
    all[arguments.length + 1] = server.toString();
    return all;
  }

  private List<ProcessHandle> holders() {
    return ProcessHandle.allProcesses().filter(this::isHolder).toList();
  }

  private boolean isHolder(ProcessHandle process) {
    String line = commandLine(process);
    return line.contains(server.toString()) && line.contains("--until-idle");
  }

  /** Java's own cuts long ones off, where they can be read as a file. */
  private static String commandLine(ProcessHandle process) {
    try {
      return Files.readString(
          Path.of("/proc", Long.toString(process.pid()), "cmdline"), StandardCharsets.ISO_8859_1);
    } catch (IOException e) {
      return process.info().commandLine().orElse("");
    }
  }

  /** The sixth field, counted from the end of the name, which may hold anything. */
  private static long session(long pid) throws IOException {
    String stat = Files.readString(Path.of("/proc", Long.toString(pid), "stat"));
    return Long.parseLong(stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1)[3]);
  }
}
