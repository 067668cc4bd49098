package dev.cortex.events.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.cortex.events.event.Json;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * A process that is told what to do, a line at a time on its standard input, and answers with JSON,
 * an object a line. Ends when its input does. What it has to say beside that is passed on to ours.
 * The commands are listed in bench/README.md.
 */
final class ToldProcess implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  /** Would lead it to another database than the one it is told of. */
  private static final List<String> INHERITED_ADDRESS = List.of("DATABASE_URL", "PGPASSWORD");

  private final Process process;
  private final PrintWriter input;
  private final BufferedReader output;

  private ToldProcess(Process process) {
    this.process = process;
    this.input = new PrintWriter(process.outputWriter(StandardCharsets.UTF_8));
    this.output = process.inputReader(StandardCharsets.UTF_8);
  }

  static ToldProcess start(
      List<String> command, Map<String, String> environment, String... arguments)
      throws IOException {
    List<String> all = new ArrayList<>(command);
    all.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(all).redirectError(ProcessBuilder.Redirect.INHERIT);
    INHERITED_ADDRESS.forEach(builder.environment()::remove);
    builder.environment().putAll(environment);
    return new ToldProcess(builder.start());
  }

  void tell(String command) {
    input.println(command);
    input.flush();
  }

  /** Waits for the next answer. */
  ObjectNode hear() throws IOException {
    String line = output.readLine();
    if (line == null) {
      throw new IllegalStateException("the process has ended early: " + process.info().command());
    }
    return Json.parse("answer", line).tree();
  }

  ObjectNode ask(String command) throws IOException {
    tell(command);
    return hear();
  }

  Optional<Duration> processorTime() {
    return process.info().totalCpuDuration();
  }

  @Override
  public void close() {
    input.close();
    try {
      process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    process.destroyForcibly();
  }
}
