package dev.cortex.events.schedule;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/** A real JVM that fires what is due until its input ends or it is killed. */
final class FiringProcess implements AutoCloseable {
  private final Process process;

  private FiringProcess(Process process) {
    this.process = process;
  }

  static FiringProcess start(String jdbcUrl) throws IOException {
    return new FiringProcess(
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-Xmx96m",
                "-cp",
                System.getProperty("java.class.path"),
                FiringProcess.class.getName(),
                jdbcUrl)
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .start());
  }

  public static void main(String[] arguments) throws Exception {
    AtomicBoolean isOver = new AtomicBoolean();
    Thread watch =
        new Thread(
            () -> {
              try {
                System.in.transferTo(OutputStream.nullOutputStream());
              } catch (IOException e) {
                // The parent is gone: over as well.
              }
              isOver.set(true);
            });
    watch.setDaemon(true);
    watch.start();
    Timekeeper timekeeper = new Timekeeper();
    try (Connection connection = DriverManager.getConnection(arguments[0])) {
      connection.setAutoCommit(false);
      while (!isOver.get()) {
        timekeeper.fireDue(connection);
        connection.commit();
        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(2));
      }
    }
  }

  boolean isAlive() {
    return process.isAlive();
  }

  /** As {@code kill -9}. */
  void kill() throws InterruptedException {
    process.destroyForcibly().waitFor();
  }

  /** Ends it in order, for as long as that may take. */
  @Override
  public void close() throws IOException {
    process.getOutputStream().close();
    process.onExit().join();
  }
}
