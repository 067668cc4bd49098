package dev.cortex.events.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * The worker processes of the demo, each with a log file of its own. Their standard input is a pipe
 * from here: whatever this process dies of, it ends, and with it the workers.
 */
final class DemoWorkers implements AutoCloseable {
  private static final long PATIENCE_SECONDS = 30;

  private final List<String> command;
  private final Path logs;
  private final Map<String, Process> running = new LinkedHashMap<>();
  private int started;

  /**
   * @param command runs a worker until its input ends; its name is added
   * @param logs where their logs go
   */
  DemoWorkers(List<String> command, Path logs) throws IOException {
    this.command = command;
    this.logs = logs;
    Files.createDirectories(logs);
  }

  /** Starts one more; the name that it has in the views. */
  String start() throws IOException {
    String name = "demo-worker-" + ++started;
    List<String> all = new ArrayList<>(command);
    all.addAll(List.of("--name", name));
    running.put(
        name,
        new ProcessBuilder(all)
            .redirectErrorStream(true)
            .redirectOutput(logs.resolve(name + ".log").toFile())
            .start());
    return name;
  }

  /** SIGKILL: nothing of it can say goodbye. Its process id. */
  long kill(String name) throws InterruptedException {
    Process process = process(name);
    process.destroyForcibly().waitFor();
    running.remove(name);
    return process.pid();
  }

  private Process process(String name) {
    Process process = running.get(name);
    if (process == null) {
      throw new IllegalArgumentException("no such worker: " + name);
    }
    return process;
  }

  /** The names of those that were started and not killed. */
  List<String> running() {
    return List.copyOf(running.keySet());
  }

  /** Those whose process has ended by itself, which none is meant to. */
  List<String> ended() {
    return running.entrySet().stream()
        .filter(worker -> !worker.getValue().isAlive())
        .map(Map.Entry::getKey)
        .toList();
  }

  /** The last line of its log. */
  String lastWords(String name) throws IOException {
    List<String> lines = Files.readAllLines(logs.resolve(name + ".log"));
    return lines.isEmpty() ? "it said nothing" : lines.get(lines.size() - 1);
  }

  int alive() {
    return (int) running.values().stream().filter(Process::isAlive).count();
  }

  /**
   * SIGTERM to all; whether every one of them ended in order. By their handles, since a process's
   * own method ends its input too.
   */
  boolean stop() throws InterruptedException {
    running.values().forEach(process -> process.toHandle().destroy());
    boolean inOrder = true;
    for (Process process : running.values()) {
      inOrder &= process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS) && process.exitValue() == 0;
    }
    close();
    return inOrder;
  }

  @Override
  public void close() {
    running.values().forEach(Process::destroyForcibly);
    running.clear();
  }
}
