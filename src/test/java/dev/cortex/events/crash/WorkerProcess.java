package dev.cortex.events.crash;

import dev.cortex.events.database.DatabaseAddress;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import org.postgresql.ds.PGSimpleDataSource;

/** A {@link CrashWorker} in a JVM of its own, which begins to work when it is told to. */
final class WorkerProcess {
  private final String name;
  private final Process process;
  private final BufferedReader output;
  private final Marker marker;

  private WorkerProcess(String name, Process process, Marker marker) {
    this.name = name;
    this.process = process;
    this.output = process.inputReader(StandardCharsets.UTF_8);
    this.marker = marker;
  }

  /** Starts the process, which waits for {@link #work} without a connection to the database. */
  static WorkerProcess start(String url, Path directory, String name, CrashWorker.Manner manner)
      throws IOException {
    return start(CrashWorker.class, url, directory, name, manner.name());
  }

  /** The same for a {@link LeaseWorker}. */
  static WorkerProcess start(String url, Path directory, String name, LeaseWorker.Manner manner)
      throws IOException {
    return start(LeaseWorker.class, url, directory, name, manner.name());
  }

  private static WorkerProcess start(
      Class<?> main, String url, Path directory, String name, String manner) throws IOException {
    Path markerFile = directory.resolve(name + ".marker");
    Marker marker = Marker.open(markerFile);
    return new WorkerProcess(
        name, jvm(main, url, markerFile.toString(), name, manner).start(), marker);
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

  /** An address with its login, for another process. */
  static String url(DatabaseAddress address) throws SQLException {
    PGSimpleDataSource source = address.dataSource().unwrap(PGSimpleDataSource.class);
    return address.jdbcUrl() + "?user=" + source.getUser() + "&password=" + source.getPassword();
  }

  String name() {
    return name;
  }

  Marker marker() {
    return marker;
  }

  /** Lets it begin and returns when it works. */
  WorkerProcess work() throws IOException {
    process.getOutputStream().write('\n');
    process.getOutputStream().flush();
    String line = output.readLine();
    if (line == null || !line.startsWith("ready")) {
      throw new IllegalStateException("the worker did not start: " + line);
    }
    return this;
  }

  /** As {@code kill -9}; returns when the process is gone. */
  void kill() {
    process.destroyForcibly().onExit().join();
  }

  /** As {@code kill -STOP}: it stands still, and knows nothing of it. */
  void suspend() throws IOException, InterruptedException {
    signal("STOP");
  }

  /** As {@code kill -CONT}. */
  void resume() throws IOException, InterruptedException {
    signal("CONT");
  }

  private void signal(String signal) throws IOException, InterruptedException {
    int status =
        new ProcessBuilder("kill", "-" + signal, Long.toString(process.pid())).start().waitFor();
    if (status != 0) {
      throw new IllegalStateException("kill -" + signal + " ended with " + status);
    }
  }

  /** Waits for the process to say this, on a line of its own. */
  void awaitSaid(String line) throws IOException {
    String said = output.readLine();
    while (said != null && !said.equals(line)) {
      said = output.readLine();
    }
    if (said == null) {
      throw new IllegalStateException("the worker ended and never said " + line);
    }
  }

  /** As {@code kill}. By its handle, since the process's own method closes its input too. */
  void terminate() {
    process.toHandle().destroy();
  }

  /** Waits for the process's end. */
  int exitStatus() {
    return process.onExit().join().exitValue();
  }
}
