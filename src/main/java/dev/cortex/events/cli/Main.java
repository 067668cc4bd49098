package dev.cortex.events.cli;

import dev.cortex.events.event.ErrorCode;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Where the process begins. */
public final class Main {
  private static final String LOG_CONFIGURATION = "logback.configurationFile";

  private Main() {}

  /** Runs one command and ends the process with its exit status. */
  public static void main(String[] args) {
    if (System.getProperty(LOG_CONFIGURATION) == null) {
      // Before anything asks for a logger.
      System.setProperty(LOG_CONFIGURATION, "dev/cortex/events/cli/logback.xml");
    }
    Console console =
        new Console(
            System.in,
            writer(FileDescriptor.out),
            writer(FileDescriptor.err),
            Boolean.getBoolean("cortex.terminal"),
            System.getenv());
    int status =
        areDestroyed(args, System.getProperty("sun.jnu.encoding", "UTF-8"))
            ? refuseDestroyed(console)
            : Cortex.run(console, args);
    console.out().flush();
    console.err().flush();
    System.exit(status);
  }

  /**
   * Whether Java could not read an argument in the locale's encoding and put U+FFFD in place of it:
   * what was meant is lost, and must not be recorded. In UTF-8 it may stand for itself.
   */
  private static boolean areDestroyed(String[] args, String encoding) {
    return !Charset.forName(encoding).equals(StandardCharsets.UTF_8)
        && Arrays.stream(args).anyMatch(argument -> argument.indexOf('\uFFFD') >= 0);
  }

  private static int refuseDestroyed(Console console) {
    console.remark(
        "an argument holds a character that the locale's encoding ("
            + System.getProperty("sun.jnu.encoding")
            + ") does not have; set LC_ALL=C.UTF-8");
    return ErrorCode.USAGE.exitStatus();
  }

  /** UTF-8, whatever the locale says; flushed by whoever wants to be seen at once. */
  private static PrintWriter writer(FileDescriptor descriptor) {
    return new PrintWriter(new FileOutputStream(descriptor), false, StandardCharsets.UTF_8);
  }
}
