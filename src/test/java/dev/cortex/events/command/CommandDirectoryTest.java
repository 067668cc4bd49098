package dev.cortex.events.command;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.HandlerDefinition.Leased;
import dev.cortex.events.handler.RetryPolicy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What an operator may lay out, and what is refused. */
class CommandDirectoryTest {
  private static final Path SPOOL = Path.of("/var/lib/cortex/spool");

  @TempDir private Path directory;
  private final List<Path> passedOver = new ArrayList<>();

  @BeforeEach
  void belongs_to_its_owner() throws IOException {
    mode(directory, "rwxr-xr-x");
  }

  @Test
  void each_program_with_its_settings_is_a_handler() throws IOException {
    program("on-task-failed.sh", "on = task.failed, worker.failed");
    program(
        "scan",
        """
        on = security.*
        lease_seconds = 20
        time_budget_seconds = 600
        max_attempts = 3
        max_running = 2
        max_age_seconds = 3600
        retry_seconds = 5, 60 600
        environment = DATABASE_URL, HOME
        """);
    Files.writeString(directory.resolve(".hidden"), "");

    List<HandlerDefinition> handlers = CommandDirectory.read(directory, SPOOL, passedOver::add);

    assertThat(handlers)
        .extracting(HandlerDefinition::name)
        .containsExactly("on-task-failed", "scan");
    assertThat(handlers.get(0).patterns()).containsExactly("task.failed", "worker.failed");
    HandlerDefinition scan = handlers.get(1);
    assertThat(scan.patterns()).containsExactly("security.*");
    assertThat(scan.timeBudget()).isEqualTo(Duration.ofMinutes(10));
    assertThat(scan.retry().maxAttempts()).isEqualTo(3);
    Leased work = (Leased) scan.work();
    assertThat(work.lease()).isEqualTo(Duration.ofSeconds(20));
    assertThat(scan.maxRunning()).hasValue(2);
    assertThat(scan.retry().maxAge()).hasValue(Duration.ofHours(1));
    assertThat(scan.retry().delays())
        .isEqualTo(
            new RetryPolicy.Listed(
                List.of(Duration.ofSeconds(5), Duration.ofMinutes(1), Duration.ofMinutes(10))));
  }

  @Test
  void an_empty_directory_has_none() {
    assertThat(CommandDirectory.read(directory, SPOOL, passedOver::add)).isEmpty();
  }

  @Test
  void what_others_may_write_is_refused() throws IOException {
    Path program = program("scan", "on = security.*");
    mode(program, "rwxrwxr-x");
    assertRefused(program, "must be writable by its owner only");
    mode(program, "rwxr-xr-x");
    mode(settings("scan"), "rw-r--rw-");
    assertRefused(settings("scan"), "must be writable by its owner only");
    mode(settings("scan"), "rw-r--r--");
    mode(directory, "rwxrwx---");
    assertRefused(directory, "must be writable by its owner only");
  }

  @Test
  void a_link_is_judged_by_what_it_leads_to() throws IOException {
    Path open = Files.createDirectory(directory.resolve(".open"));
    mode(open, "rwxrwxrwx");
    Path program = Files.writeString(open.resolve("scan"), "#!/bin/sh\n");
    mode(program, "rwxr-xr-x");
    Files.createSymbolicLink(directory.resolve("scan"), program);
    Files.writeString(settings("scan"), "on = security.*");
    assertRefused(open, "must be writable by its owner only");
  }

  @Test
  void what_is_no_program_or_says_too_little_or_too_much_is_refused() throws IOException {
    Path program = program("scan", "on = security.*");
    mode(program, "rw-r--r--");
    assertRefused(program, "must be a program that this user may execute");
    mode(program, "rwxr-xr-x");
    Files.writeString(settings("scan"), "max_attempts = 3");
    assertRefused(settings("scan"), "must say which events the program is on");
    Files.writeString(settings("scan"), "on = security.*\nshell = true");
    assertRefused(settings("scan"), "sets shell");
    Files.writeString(settings("scan"), "on = security.*\nlease_seconds = soon");
    assertRefused(settings("scan"), "lease_seconds must be a number, was soon");
    Files.writeString(settings("scan"), "on = security.*\nlease_seconds = 0");
    assertRefused(settings("scan"), "lease must be 1 second to 1 day");
    Files.writeString(settings("scan"), "on = Security");
    assertRefused(settings("scan"), "pattern must be");
    Files.delete(settings("scan"));
    assertRefused(program, "must have scan.properties beside it");
  }

  @Test
  void old_handlers_are_on_what_their_names_say() throws IOException {
    for (String name :
        List.of("on-security-alert", "on-system-startup", "on-task-failed", "on-task-failure")) {
      mode(Files.writeString(directory.resolve(name + ".sh"), "#!/bin/sh\n"), "rwxr-xr-x");
    }
    assertThat(CommandDirectory.read(directory, SPOOL, passedOver::add))
        .extracting(one -> one.name() + " " + one.patterns())
        .containsExactly(
            "vulnerabilities [security.vulnerability_found]",
            "start-ups [daemon.started]",
            "on-task-failed [task.failed]",
            "on-task-failure [task.failed]");
  }

  @Test
  void what_programs_share_and_what_people_read_is_passed_over_and_told() throws IOException {
    program("on-task-failed.sh", "on = task.failed");
    Path readme = Files.writeString(directory.resolve("README.md"), "how to");
    Path library = Files.createDirectory(directory.resolve("lib"));
    Files.writeString(library.resolve("common.sh"), "");
    Path shared = Files.writeString(directory.resolve("common.sh"), "");
    mode(shared, "rw-rw-rw-");

    assertThat(CommandDirectory.read(directory, SPOOL, passedOver::add))
        .extracting(HandlerDefinition::name)
        .containsExactly("on-task-failed");
    assertThat(passedOver)
        .containsExactlyInAnyOrder(readme.toRealPath(), library.toRealPath(), shared.toRealPath());
  }

  @Test
  void an_old_handler_that_nobody_may_execute_is_refused() throws IOException {
    Path program = Files.writeString(directory.resolve("on-task-failure.sh"), "#!/bin/sh\n");
    mode(program, "rw-r--r--");
    assertRefused(program, "must be a program that this user may execute");
  }

  @Test
  void the_operators_table_says_otherwise_and_sets_what_all_old_handlers_have() throws IOException {
    mode(Files.writeString(directory.resolve("on-health-alert.sh"), "#!/bin/sh\n"), "rwxr-xr-x");
    mode(
        Files.writeString(directory.resolve("on-learning-pattern.sh"), "#!/bin/sh\n"), "rwxr-xr-x");
    Path table =
        Files.writeString(
            directory.resolve("handlers.properties"),
            """
            on-health-alert = system.health_alert, task.*
            on-learning-pattern = learned-patterns
            max_attempts = 3
            """);
    mode(table, "rw-r--r--");

    List<HandlerDefinition> handlers = CommandDirectory.read(directory, SPOOL, passedOver::add);
    assertThat(handlers)
        .extracting(HandlerDefinition::name)
        .containsExactly("on-health-alert", "learned-patterns");
    assertThat(handlers.get(0).patterns()).containsExactly("system.health_alert", "task.*");
    assertThat(handlers.get(1).patterns()).containsExactly("learning.pattern_detected");
    assertThat(handlers).allMatch(one -> one.retry().maxAttempts() == 3);

    mode(table, "rw-rw-rw-");
    assertRefused(table, "must be writable by its owner only");
  }

  @Test
  void two_programs_of_one_name_are_refused() throws IOException {
    program("scan.sh", "on = security.*");
    Path second = program("scan.py", "on = security.*");
    assertRefused(second.resolveSibling("scan.sh"), "must not share its name");
  }

  private Path program(String file, String settings) throws IOException {
    Path program = Files.writeString(directory.resolve(file), "#!/bin/sh\n");
    mode(program, "rwxr-xr-x");
    mode(Files.writeString(settings(file.replaceFirst("\\..*", "")), settings), "rw-r--r--");
    return program;
  }

  private Path settings(String name) {
    return directory.resolve(name + ".properties");
  }

  private static void mode(Path file, String permissions) throws IOException {
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(permissions));
  }

  private void assertRefused(Path file, String rule) throws IOException {
    String real = file.toRealPath().toString();
    assertThatThrownBy(() -> CommandDirectory.read(directory, SPOOL, passedOver::add))
        .isInstanceOfSatisfying(
            InvalidCommandException.class,
            e -> {
              assertThat(e.code()).isEqualTo(ErrorCode.CONFIGURATION);
              assertThat(e.file()).isEqualTo(real);
            })
        .hasMessageContaining(rule);
  }
}
