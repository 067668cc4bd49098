package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

@ExtendWith(PostgresExtension.class)
class SpoolCommandTest {
  private final TestCommandLine cortex;
  private final Path spool;

  SpoolCommandTest(TestDatabase database, @TempDir Path directory) throws Exception {
    this.cortex = TestCommandLine.on(database);
    this.spool =
        Files.createDirectory(
            directory.resolve("spool"),
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
  }

  @Test
  void a_file_that_is_left_is_named_with_the_time_from_which_on_it_counts_as_torn()
      throws Exception {
    Path torn = Files.writeString(spool.resolve("writer.000001.jsonl"), "{\"spool\":1,");

    Answer answer = cortex.run("spool", "drain", "--spool-dir", spool.toString());

    assertThat(answer.status()).isEqualTo(75);
    assertThat(answer.out()).contains("files left 1");
    assertThat(answer.err())
        .contains("left, since its last line has no end yet: " + torn)
        .contains("drained all the same from 20");

    Path taken = torn.resolveSibling(torn.getFileName() + ".draining");
    Files.setLastModifiedTime(taken, FileTime.from(Instant.now().minus(Duration.ofMinutes(1))));
    Answer later = cortex.run("spool", "drain", "--spool-dir", spool.toString());
    assertThat(later.status()).isEqualTo(65);
    assertThat(later.out()).contains("damaged lines 1, files left 0");
    assertThat(later.err()).isEmpty();
  }

  @Test
  void what_lies_in_a_spool_and_is_never_drained_is_named() throws Exception {
    Path link = Files.createSymbolicLink(spool.resolve("writer.000001.jsonl"), Path.of("/etc"));
    Path other = Files.writeString(spool.resolve("notes.txt"), "");
    Files.writeString(spool.resolve("away"), "1 1\n");

    Answer drained = cortex.run("spool", "drain", "--spool-dir", spool.toString());
    assertThat(drained.status()).isZero();

    Answer answer = cortex.run("spool", "status", "--spool-dir", spool.toString());
    assertThat(answer.out()).contains("foreign         [" + other + ", " + link + "]");
  }
}
