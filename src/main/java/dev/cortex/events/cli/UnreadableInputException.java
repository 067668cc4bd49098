package dev.cortex.events.cli;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.FileFault;
import java.io.IOException;

/** What a command was told to read cannot be read. */
final class UnreadableInputException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String input;

  UnreadableInputException(String input, IOException cause) {
    super(FileFault.of(cause).codeOfInput(), message(input, FileFault.of(cause).reason()), cause);
    this.input = input;
  }

  /** Names the input once; most reasons name it themselves. */
  private static String message(String input, String reason) {
    return reason.contains(input)
        ? "cannot read: " + reason
        : "cannot read " + input + ": " + reason;
  }

  /** The file, or standard input. */
  String input() {
    return input;
  }
}
