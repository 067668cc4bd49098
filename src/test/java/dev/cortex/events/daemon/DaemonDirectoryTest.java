package dev.cortex.events.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.command.InvalidCommandException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DaemonDirectoryTest {
  private Path directory;
  private Path program;

  @BeforeEach
  void a_program(@TempDir Path parent) throws IOException {
    directory = parent.toRealPath();
    program = Files.writeString(directory.resolve("pm-daemon.sh"), "#!/bin/sh\n");
    mode(program, "rwxr-xr-x");
  }

  @Test
  void a_file_says_what_is_run_how_and_when_again() throws IOException {
    write(
        """
        command = %s
        argument.1 = --name
        argument.2 = two words; $(rm -rf /)
        directory = /tmp
        environment = HOME, LANG
        restart = always
        restart_limit = 3
        stop_seconds = 4
        """
            .formatted(program));

    DaemonDefinition pm = daemons().find("pm").orElseThrow();

    assertThat(pm.command())
        .containsExactly(program.toString(), "--name", "two words; $(rm -rf /)");
    assertThat(pm.directory()).isEqualTo(Path.of("/tmp"));
    assertThat(pm.environment()).containsExactlyInAnyOrder("HOME", "LANG");
    assertThat(pm.restarts()).isEqualTo(new RestartPolicy(RestartPolicy.When.ALWAYS, 3));
    assertThat(pm.stopTime()).isEqualTo(Duration.ofSeconds(4));
    assertThat(daemons().names()).containsExactly("pm");
  }

  @Test
  void what_is_not_as_it_has_to_be_is_refused_by_file_rule_and_value() throws IOException {
    refuses("", "must say which command it is");
    refuses("command = bin/pm", "command must be the absolute path of a program");
    refuses("command = " + program + " --fast", "was " + program + " --fast");
    refuses("command = " + program + "\nargument.2 = x", "without a gap");
    refuses("command = " + program + "\nshell = yes", "sets shell");
    refuses(
        "command = " + program + "\nrestart = often",
        "restart: must be on-failure, always or never, was often");
    refuses(
        "command = " + program + "\nrestart_limit = x", "restart_limit must be a number, was x");
    refuses("command = " + program + "\nstop_seconds = 601", "must be 0 to 600, was 601");
    refuses("command = " + program + "\ndirectory = here", "absolute path of a directory");
  }

  @Test
  void what_others_can_write_is_refused() throws IOException {
    write("command = " + program);
    mode(directory.resolve("pm.properties"), "rw-rw-rw-");
    assertThatThrownBy(() -> daemons().find("pm"))
        .isInstanceOf(InvalidCommandException.class)
        .hasMessageEndingWith("pm.properties: must be writable by its owner only");
    mode(directory.resolve("pm.properties"), "rw-r--r--");
    mode(program, "rwxrwxr-x");
    assertThatThrownBy(() -> daemons().find("pm"))
        .hasMessageEndingWith("pm-daemon.sh: must be writable by its owner only");
  }

  @Test
  void a_link_that_leads_nowhere_is_known_and_refused_by_every_command() throws IOException {
    Files.createSymbolicLink(directory.resolve("pm.properties"), directory.resolve("gone"));
    assertThat(daemons().names()).containsExactly("pm");
    assertThatThrownBy(() -> daemons().find("pm"))
        .isInstanceOf(InvalidCommandException.class)
        .hasMessageEndingWith("pm.properties: must be a file, or a link that leads to one");
  }

  @Test
  void a_name_leads_nowhere_else() throws IOException {
    write("command = " + program);
    assertThat(daemons().find("../" + directory.getFileName() + "/pm")).isEmpty();
    assertThat(daemons().find("integration")).isEmpty();
    assertThat(DaemonDirectory.at(directory.resolve("nowhere")).names()).isEmpty();
  }

  private void refuses(String settings, String rule) throws IOException {
    write(settings);
    assertThatThrownBy(() -> daemons().find("pm"))
        .isInstanceOf(InvalidCommandException.class)
        .hasMessageStartingWith(directory.resolve("pm.properties") + ": ")
        .hasMessageContaining(rule);
  }

  private void write(String settings) throws IOException {
    Path file = Files.writeString(directory.resolve("pm.properties"), settings);
    mode(file, "rw-r--r--");
  }

  private static void mode(Path file, String mode) throws IOException {
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(mode));
  }

  private DaemonDirectory daemons() {
    return DaemonDirectory.at(directory);
  }
}
