package dev.cortex.events.cli;

import dev.cortex.events.event.ErrorCode;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Where the process begins. */
public final class Main {
  /** The system property that says where the log's configuration is, and where ours is. */
  static final String LOG_CONFIGURATION = "logback.configurationFile";

  static final String OUR_LOG_CONFIGURATION = "dev/cortex/events/cli/logback.xml";

  private Main() {}

  /** Runs one command and ends the process with its exit status. */
  public static void main(String[] args) {
    if (System.getProperty(LOG_CONFIGURATION) == null) {
      // Before anything asks for a logger.
      System.setProperty(LOG_CONFIGURATION, OUR_LOG_CONFIGURATION);
    }
    Console console =
        new Console(
            System.in,
            writer(FileDescriptor.out),
            writer(FileDescriptor.err),
            Boolean.getBoolean("cortex.terminal"),
            System.getenv());
    int status = areDestroyed(args) ? refuseDestroyed(console) : Cortex.run(console, args);
    console.out().flush();
    console.err().flush();
    System.exit(status);
  }

  /**
   * Whether Java could not read an argument in the locale's encoding and put U+FFFD in place of it:
   * what was meant is lost, and must not be recorded. Who means U+FFFD itself has files and
   * standard input.
   */
  private static boolean areDestroyed(String[] args) {
    return Arrays.stream(args).anyMatch(argument -> argument.indexOf('\uFFFD') >= 0);
  }

  private static int refuseDestroyed(Console console) {
    console.remark(
        "an argument must be valid in the locale's encoding, which is "
            + System.getProperty("sun.jnu.encoding")
            + ", and hold no U+FFFD; LC_ALL=C.UTF-8 may help");
    return ErrorCode.INVALID_DATA.exitStatus();
  }

  /** UTF-8, whatever the locale says; flushed by whoever wants to be seen at once. */
  private static PrintWriter writer(FileDescriptor descriptor) {
    return new PrintWriter(new FileOutputStream(descriptor), false, StandardCharsets.UTF_8);
  }
}
