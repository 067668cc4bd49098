package dev.cortex.events.command;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.cortex.events.file.FileOwner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrustedFileTest {
  private final String user = System.getProperty("user.name");
  private Path file;

  @BeforeEach
  void a_file(@TempDir Path directory) throws IOException {
    file = Files.createFile(directory.resolve("program"));
  }

  @AfterEach
  void named_as_before() {
    System.setProperty("user.name", user);
  }

  /** As in a container that is run as a number which no name belongs to. */
  @Test
  void a_user_without_a_name_has_files_all_the_same() {
    System.setProperty("user.name", "?");
    assertThatCode(() -> TrustedFile.require(file)).doesNotThrowAnyException();
  }

  @Test
  void a_name_makes_nobody_a_files_owner() throws IOException {
    assumeTrue(FileOwner.isRoot(Path.of("/proc/self")), "needs root to give a file away");
    Files.setAttribute(file, "unix:uid", 12345);
    System.setProperty("user.name", Files.getOwner(file).getName());
    assertThatThrownBy(() -> TrustedFile.require(file))
        .isInstanceOf(InvalidCommandException.class)
        .hasMessageContaining("must belong to root or to the worker's user, belongs to 12345");
  }
}
