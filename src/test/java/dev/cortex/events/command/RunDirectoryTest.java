package dev.cortex.events.command;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the runs of killed processes leave on the disk. */
class RunDirectoryTest {
  private final Instant earlier = Instant.now().minus(Duration.ofHours(1));

  @TempDir private Path parent;

  @Test
  void what_nobody_has_locked_for_a_while_is_removed_with_all_that_is_in_it() throws Exception {
    Path abandoned = run("cortex-command-1", earlier);
    removeAbandoned(parent);
    assertThat(abandoned).doesNotExist();
  }

  @Test
  void what_has_just_begun_and_what_is_somebody_elses_stays() throws Exception {
    Path young = run("cortex-command-2", Instant.now());
    Path other = run("other", earlier);
    Path link = Files.createSymbolicLink(parent.resolve("cortex-command-3"), other);
    removeAbandoned(parent);
    assertThat(young.resolve("event.json")).exists();
    assertThat(other.resolve("event.json")).exists();
    assertThat(link).isSymbolicLink();
  }

  @Test
  void a_run_that_takes_long_keeps_its_directory() throws Exception {
    Path path;
    try (RunDirectory running = RunDirectory.of("{}")) {
      path = running.eventFile().getParent();
      Files.setLastModifiedTime(path, FileTime.from(earlier));
      removeAbandoned(path.getParent());
      assertThat(running.eventFile()).hasContent("{}");
    }
    assertThat(path).doesNotExist();
  }

  @Test
  void a_directory_that_the_program_has_shut_is_removed_too() throws Exception {
    Path path;
    try (RunDirectory run = RunDirectory.of("{}")) {
      path = run.eventFile().getParent();
      Path shut = Files.createDirectory(run.work().resolve("shut"));
      Files.createFile(shut.resolve("file"));
      Files.setPosixFilePermissions(shut, PosixFilePermissions.fromString("---------"));
    }
    assertThat(path).doesNotExist();
  }

  @Test
  void output_that_the_program_has_removed_is_none() throws Exception {
    try (RunDirectory run = RunDirectory.of("{}")) {
      Files.delete(run.outputFile());
      run.boundOutput();
      assertThat(run.output()).isEmpty();
    }
  }

  private static void removeAbandoned(Path directory) throws IOException {
    Path own = Files.createTempFile("run", "directory");
    RunDirectory.removeAbandoned(directory, Files.getOwner(own));
    Files.delete(own);
  }

  private Path run(String name, Instant begun) throws IOException {
    Path directory = Files.createDirectory(parent.resolve(name));
    Files.createFile(directory.resolve(".lock"));
    Files.writeString(directory.resolve("event.json"), "{}");
    Files.setLastModifiedTime(directory, FileTime.from(begun));
    return directory;
  }
}
