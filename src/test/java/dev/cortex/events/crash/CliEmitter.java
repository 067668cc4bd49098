package dev.cortex.events.crash;

import dev.cortex.events.cli.Main;
import dev.cortex.events.event.Envelope;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;

/**
 * {@code cortex emit -} as processes, one after the other, fed with numbered envelopes at the pace
 * of the other emitters. The n-th id that one prints says that its n-th envelope is kept, in the
 * database or, while that is away, in a spool; which is written to a file outside the database as
 * committed. What it does not answer is in doubt.
 */
final class CliEmitter {
  private static final int FLUSHED = 20;
  private static final int PROCESSES = 10;
  private static final int MOST_OF_A_PROCESS = 2_500;

  private final String url;
  private final int first;
  private final int end;
  private final Pace pace;
  private final Path ledger;

  private CliEmitter(String url, int first, int end, Pace pace, Path ledger) {
    this.url = url;
    this.first = first;
    this.end = end;
    this.pace = pace;
    this.ledger = ledger;
  }

  /** Emits from one number to before another; completes with how many ids were printed. */
  static CompletableFuture<Integer> start(String url, int first, int end, Pace pace, Path ledger) {
    CliEmitter emitter = new CliEmitter(url, first, end, pace, ledger);
    return CompletableFuture.supplyAsync(emitter::emitAll);
  }

  private int emitAll() {
    int committed = 0;
    int share = Math.min(MOST_OF_A_PROCESS, (end - first + PROCESSES - 1) / PROCESSES);
    try (PrintStream lines =
        new PrintStream(Files.newOutputStream(ledger), true, StandardCharsets.UTF_8)) {
      for (int from = first; from < end; from += share) {
        committed += emit(from, Math.min(from + share, end), lines);
      }
      drainSpool();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return committed;
  }

  private int emit(int from, int to, PrintStream lines) throws IOException {
    Process process = cortex("emit", "-").start();
    CompletableFuture<Boolean> fed = CompletableFuture.supplyAsync(() -> feed(process, from, to));
    int n = from;
    try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8)) {
      for (String id = output.readLine(); id != null; id = output.readLine()) {
        if (!id.startsWith("evt_")) {
          throw new IllegalStateException("an id was expected: " + id);
        }
        lines.println(n++ + " committed");
      }
    }
    int status = process.onExit().join().exitValue();
    if ((status == 0) != (fed.join() && n == to)) {
      throw new IllegalStateException("cortex emit - ended with " + status + " at " + n);
    }
    for (int unanswered = n; unanswered < to; unanswered++) {
      lines.println(unanswered + " in_doubt");
    }
    return n - from;
  }

  /** Delivers what its processes have spooled. */
  private void drainSpool() throws IOException {
    Process process = cortex("spool", "drain").start();
    process.getInputStream().transferTo(OutputStream.nullOutputStream());
    int status = process.onExit().join().exitValue();
    if (status != 0) {
      throw new IllegalStateException("cortex spool drain ended with " + status);
    }
  }

  private ProcessBuilder cortex(String... arguments) {
    ProcessBuilder builder = WorkerProcess.jvm(Main.class, arguments);
    builder.environment().put("DATABASE_URL", url);
    builder.environment().put("CORTEX_SPOOL_DIR", ledger.resolveSibling("spool").toString());
    return builder;
  }

  /** Whether it took them all. */
  private boolean feed(Process process, int from, int to) {
    try (Writer input = process.outputWriter(StandardCharsets.UTF_8)) {
      for (int n = from; n < to; n++) {
        if (n % FLUSHED == 0) {
          input.flush();
          pace.await(n - first);
        }
        input.write(Envelope.write(CrashEvent.draft(n, "cli")) + "\n");
      }
      return true;
    } catch (IOException e) {
      return false;
    }
  }
}
