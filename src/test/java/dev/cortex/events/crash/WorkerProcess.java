package dev.cortex.events.crash;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A {@link CrashWorker} in a JVM of its own. */
final class WorkerProcess {
  private final Process process;
  private final Marker marker;

  private WorkerProcess(Process process, Marker marker) {
    this.process = process;
    this.marker = marker;
  }

  static WorkerProcess start(String url, Path markerFile, String name) throws IOException {
    Marker marker = Marker.open(markerFile);
    return new WorkerProcess(
        jvm(CrashWorker.class, url, markerFile.toString(), name).start(), marker);
  }

  static ProcessBuilder jvm(Class<?> main, String... arguments) {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Xshare:auto",
                "-Xmx96m",
                "-cp",
                System.getProperty("java.class.path"),
                main.getName()));
    command.addAll(List.of(arguments));
    return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
  }

  Marker marker() {
    return marker;
  }

  boolean isAlive() {
    return process.isAlive();
  }

  void awaitReady() throws IOException {
    BufferedReader output =
        new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    String line = output.readLine();
    if (line == null || !line.startsWith("ready")) {
      throw new IllegalStateException("the worker did not start: " + line);
    }
  }

  /** As {@code kill -9}. */
  void kill() {
    process.destroyForcibly().onExit().join();
  }

  /** As {@code kill}: it finishes or gives back. */
  int end() {
    process.destroy();
    return process.onExit().join().exitValue();
  }
}
