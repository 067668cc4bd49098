package dev.cortex.events.spool;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.FileFault;
import java.io.IOException;

/**
 * The spool could not keep events, or be read: the disk or the spool is full, or the directory is
 * not as it has to be. Of the events of that call none may be counted as durable. Some may be all
 * the same: what the database committed before its answer was lost, and what a disk took before it
 * was full. Posted again with the ids that they had, they are there once.
 */
public final class SpoolFailedException extends CortexException {
  private static final long serialVersionUID = 1L;

  SpoolFailedException(String directory, IOException cause) {
    super(ErrorCode.UNAVAILABLE, "spool " + directory + ": " + FileFault.of(cause).reason(), cause);
  }

  private SpoolFailedException(ErrorCode code, String directory, String rule) {
    super(code, "spool " + directory + " " + rule);
  }

  static SpoolFailedException full(String directory, String limit) {
    return new SpoolFailedException(ErrorCode.UNAVAILABLE, directory, "is full: " + limit);
  }

  static SpoolFailedException unfit(String directory, String rule) {
    return new SpoolFailedException(ErrorCode.CONFIGURATION, directory, rule);
  }
}
