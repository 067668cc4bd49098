package dev.cortex.events.file;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LockedFileTest {
  private final Path file;

  LockedFileTest(@TempDir Path directory) {
    this.file = directory.resolve("lock");
  }

  /** Another process, which says whether it gets the lock. */
  static final class Other {
    private Other() {}

    public static void main(String[] arguments) throws IOException {
      System.out.print(LockedFile.tryLock(Path.of(arguments[0])).isPresent() ? "taken" : "refused");
    }
  }

  @Test
  void a_second_user_of_one_process_neither_gets_the_lock_nor_costs_the_first_one_its_own()
      throws Exception {
    LockedFile held = LockedFile.tryLock(file).orElseThrow();
    Path otherName = Files.createLink(file.resolveSibling("other-name"), file);

    assertThat(LockedFile.tryLock(file)).isEmpty();
    assertThat(LockedFile.tryLock(otherName)).isEmpty();
    assertThat(LockedFile.isLocked(file)).isTrue();

    assertThat(another()).isEqualTo("refused");
    held.close();
    held.close();
    assertThat(LockedFile.isLocked(file)).isFalse();
    assertThat(another()).isEqualTo("taken");
    try (LockedFile again = LockedFile.tryLock(otherName).orElseThrow()) {
      assertThat(again.channel().isOpen()).isTrue();
    }
  }

  @Test
  void the_file_is_made_for_its_owner_and_only_to_be_locked() throws IOException {
    assertThat(LockedFile.isLocked(file)).isFalse();
    assertThat(file).doesNotExist();
    LockedFile.tryLock(file).orElseThrow().close();
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
        .isEqualTo("rw-------");
  }

  private String another() throws IOException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Other.class.getName(),
                file.toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
  }
}
