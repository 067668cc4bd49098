package dev.cortex.events.crash;

import dev.cortex.events.cli.Main;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;

/**
 * {@code cortex emit -} as a process, fed with numbered envelopes at the pace of the others. The
 * n-th id that it prints says that the n-th envelope is committed, which is written to a file
 * outside the database.
 */
final class CliEmitter {
  private static final int FLUSHED = 20;

  private final Process process;
  private final CompletableFuture<Void> fed;
  private final CompletableFuture<Integer> answered;

  private CliEmitter(
      Process process, CompletableFuture<Void> fed, CompletableFuture<Integer> answered) {
    this.process = process;
    this.fed = fed;
    this.answered = answered;
  }

  static CliEmitter start(String url, int first, int end, Pace pace, Path ledger)
      throws IOException {
    ProcessBuilder builder = WorkerProcess.jvm(Main.class, "emit", "-");
    builder.environment().put("DATABASE_URL", url);
    Process process = builder.start();
    return new CliEmitter(
        process,
        CompletableFuture.runAsync(() -> feed(process, first, end, pace)),
        CompletableFuture.supplyAsync(() -> answers(process, first, ledger)));
  }

  private static void feed(Process process, int first, int end, Pace pace) {
    try (Writer input = process.outputWriter(StandardCharsets.UTF_8)) {
      for (int n = first; n < end; n++) {
        if (n % FLUSHED == 0) {
          input.flush();
          pace.await(n - first);
        }
        input.write(
            "{\"event_type\": \"crash.happened\", \"source\": \"cli\", \"payload\": {\"n\": "
                + n
                + "}}\n");
      }
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static int answers(Process process, int first, Path ledger) {
    int n = first;
    try (BufferedReader output =
            new BufferedReader(
                new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        PrintStream lines =
            new PrintStream(Files.newOutputStream(ledger), true, StandardCharsets.UTF_8)) {
      for (String id = output.readLine(); id != null; id = output.readLine()) {
        if (!id.startsWith("evt_")) {
          throw new IllegalStateException("an id was expected: " + id);
        }
        lines.println(n++ + " committed");
      }
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
    return n - first;
  }

  /** How many ids it printed, when it has ended with 0. */
  int join() {
    fed.join();
    int ids = answered.join();
    int status = process.onExit().join().exitValue();
    if (status != 0) {
      throw new IllegalStateException("cortex emit - ended with " + status);
    }
    return ids;
  }
}
