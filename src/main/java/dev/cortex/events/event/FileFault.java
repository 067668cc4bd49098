package dev.cortex.events.event;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import org.jspecify.annotations.Nullable;

/**
 * Why a file could not be read or written. Of an {@link IOException} the class often says it, and
 * the message no more than the path.
 *
 * @param code not found, not permitted, or unavailable for any other reason
 * @param reason with the path, for people
 */
public record FileFault(ErrorCode code, String reason) {

  /** What this error says. */
  public static FileFault of(IOException error) {
    if (error instanceof NoSuchFileException missing) {
      return new FileFault(ErrorCode.NOT_FOUND, "no such file: " + missing.getFile());
    }
    if (error instanceof NotDirectoryException wrong) {
      return new FileFault(ErrorCode.NOT_FOUND, "no directory: " + wrong.getFile());
    }
    if (error instanceof AccessDeniedException denied) {
      return new FileFault(ErrorCode.NOT_PERMITTED, "permission denied: " + denied.getFile());
    }
    return new FileFault(ErrorCode.UNAVAILABLE, otherReason(error));
  }

  /**
   * The code where the caller named the file to be read: one that is no file, say, is not found.
   */
  public ErrorCode codeOfInput() {
    return code == ErrorCode.UNAVAILABLE ? ErrorCode.NOT_FOUND : code;
  }

  private static String otherReason(IOException error) {
    @Nullable String message = error.getMessage();
    boolean isNamed = error instanceof FileSystemException known && known.getReason() != null;
    return message != null && (isNamed || !(error instanceof FileSystemException))
        ? message
        : error.toString();
  }
}
