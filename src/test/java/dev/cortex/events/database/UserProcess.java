package dev.cortex.events.database;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A real JVM that uses an embedded server, to be ended in order or killed. */
final class UserProcess implements AutoCloseable {
  private final Process process;
  private final String firstLine;

  private UserProcess(Process process, String firstLine) {
    this.process = process;
    this.firstLine = firstLine;
  }

  static UserProcess start(Path directory, String... identity) throws IOException {
    return start(List.of(), System.getProperty("java.class.path"), directory, identity);
  }

  /** Starts without waiting for the server, so that several processes start at once. */
  static UserProcess start(
      List<String> prefix, String classPath, Path directory, String... identity)
      throws IOException {
    List<String> command = new ArrayList<>(prefix);
    command.addAll(
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1",
            "-Xmx128m",
            "-cp",
            classPath,
            ServerUser.class.getName(),
            directory.toString()));
    command.addAll(List.of(identity));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    return new UserProcess(builder.start(), "");
  }

  /** Waits for what the process says first: that the server is ready, or why not. */
  UserProcess awaitAnswer() throws IOException {
    BufferedReader output =
        new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    StringBuilder said = new StringBuilder();
    for (String line = output.readLine(); line != null; line = output.readLine()) {
      said.append(line).append('\n');
      if (line.startsWith("ready")) {
        break;
      }
    }
    return new UserProcess(process, said.toString());
  }

  String answer() {
    return firstLine;
  }

  boolean isReady() {
    return firstLine.contains("ready ");
  }

  /** SIGKILL: nothing of ours runs in it any more. */
  void kill() throws InterruptedException {
    process.destroyForcibly().waitFor();
  }

  @Override
  public void close() throws IOException {
    process.getOutputStream().close();
    try {
      if (!process.waitFor(30, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
