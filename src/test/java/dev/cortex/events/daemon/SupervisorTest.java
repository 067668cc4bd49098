package dev.cortex.events.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What befalls a host does not end the supervisor of a daemon. */
class SupervisorTest {
  private static final long PATIENCE_SECONDS = 60;
  private static final String STAYS = "#!/bin/sh\nsleep 600\n";

  private final Path directory;
  private final Path program;
  private final Path work;
  private final BlockingQueue<String> told = new LinkedBlockingQueue<>();

  SupervisorTest(@TempDir Path directory) throws IOException {
    this.directory = directory.toRealPath();
    this.program = this.directory.resolve("program");
    this.work = this.directory.resolve("work");
  }

  /** Notes what is told, and mends what kept the program from being run. */
  private final class Journal implements DaemonJournal {
    @Override
    public void started(String daemon, long pid, int restarts) {
      told.add("started");
    }

    @Override
    public void stopped(String daemon, long pid, String reason) {
      if (reason.startsWith("it cannot be run")) {
        lay(STAYS);
      }
      told.add(reason.replaceFirst(":.*, again", ", again"));
    }

    @Override
    public void refused(String daemon, String reason) {
      told.add("refused");
    }
  }

  @Test
  void a_restart_that_fails_counts_as_a_failure_and_is_tried_again() throws Exception {
    lay("#!/bin/sh\nrmdir \"$PWD\"\nexit 3\n");
    Supervisor supervisor = supervisor();
    Thread thread = new Thread(() -> run(supervisor));
    thread.start();

    assertThat(next()).isEqualTo("started");
    assertThat(next()).isEqualTo("exit status 3, again in 1 s");
    assertThat(next()).isEqualTo("it cannot be run, again in 2 s");
    assertThat(next()).isEqualTo("started");
    supervisor.stop("enough");
    assertThat(next()).isEqualTo("enough");
    thread.join();
  }

  @Test
  void a_record_that_cannot_be_written_ends_nothing() throws Exception {
    lay(STAYS);
    // In the place of the file that becomes the record, as a full disk keeps it from being written.
    Files.createDirectories(
        directory.resolve("state/pm/run.properties.new"),
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    Supervisor supervisor = supervisor();
    Thread thread = new Thread(() -> run(supervisor));
    thread.start();

    assertThat(next()).isEqualTo("started");
    assertThat(
            new LocalDaemons(DaemonDirectory.at(directory), directory.resolve("state"))
                .status("pm")
                .isUp())
        .isTrue();
    supervisor.stop("enough");
    assertThat(next()).isEqualTo("enough");
    thread.join();
  }

  @Test
  void output_is_kept_again_when_the_disk_takes_it_again() throws Exception {
    lay("#!/bin/sh\nwhile :; do echo tick; sleep 0.05; done\n");
    Path output = directory.resolve("state/pm/output.log");
    // In the place of the file, as a full disk keeps it from being written.
    Files.createDirectories(
        output, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    Supervisor supervisor = supervisor();
    Thread thread = new Thread(() -> run(supervisor));
    thread.start();

    assertThat(next()).isEqualTo("started");
    Files.delete(output);
    await()
        .atMost(Duration.ofSeconds(PATIENCE_SECONDS))
        .until(() -> Files.exists(output) && Files.size(output) > 0);
    supervisor.stop("enough");
    assertThat(next()).isEqualTo("enough");
    thread.join();
  }

  private String next() throws InterruptedException {
    return String.valueOf(told.poll(PATIENCE_SECONDS, TimeUnit.SECONDS));
  }

  private void run(Supervisor supervisor) {
    try {
      told.add("ended " + supervisor.run().isOrderly());
    } catch (IOException e) {
      told.add(e.toString());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private Supervisor supervisor() {
    return new Supervisor(
        new DaemonDefinition(
            "pm",
            List.of(program.toString()),
            work,
            Set.of(),
            RestartPolicy.defaults(),
            Duration.ofSeconds(10)),
        DaemonHome.of(directory.resolve("state"), "pm"),
        new Journal(),
        Map.of());
  }

  private void lay(String script) {
    try {
      Files.createDirectories(work);
      Files.writeString(program, script);
      Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwxr-xr-x"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
