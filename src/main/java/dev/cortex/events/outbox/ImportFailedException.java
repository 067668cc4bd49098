package dev.cortex.events.outbox;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.FileFault;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/**
 * An archive could not be read, or not be taken in as it is. What was read before is imported;
 * importing the whole again changes nothing about that.
 */
public final class ImportFailedException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final transient Path path;

  ImportFailedException(Path path, IOException cause) {
    super(
        FileFault.of(cause).codeOfInput(),
        cause instanceof NoSuchFileException
            ? "import: " + path + " must exist"
            : "import: " + path + " must be readable: " + FileFault.of(cause).reason(),
        cause);
    this.path = path;
  }

  ImportFailedException(ErrorCode code, Path path, String rule) {
    super(code, "import: " + path + " " + rule);
    this.path = path;
  }

  /** The file or directory. */
  public Path path() {
    return path;
  }
}
