package dev.cortex.events.archive;

import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.file.DurableFiles;
import dev.cortex.events.file.LockedFile;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * Says in the directory whose archive it is, in the file {@code database}, and keeps other runs out
 * of it while this is open. The run's lock in the database does not: two databases with one
 * directory would write each other's months, and so would a database and its copy, which has the
 * same identity.
 */
final class DirectoryLabel implements Closeable {
  static final String NAME = "database";
  private static final int MAX_BYTES = 1_000;

  private final Path path;
  private final LockedFile file;

  private DirectoryLabel(Path path, LockedFile file) {
    this.path = path;
    this.file = file;
  }

  /**
   * Takes the directory, which exists, for this database.
   *
   * @throws ArchiveFailedException when it is another's, or a run is at work in it
   */
  static DirectoryLabel take(Path directory, Retention database) throws IOException {
    Path path = directory.resolve(NAME);
    DirectoryLabel label =
        new DirectoryLabel(
            path,
            LockedFile.tryLock(path)
                .orElseThrow(
                    () ->
                        new ArchiveFailedException(
                            ErrorCode.TEMPORARY,
                            "archive: another run works in " + directory + "; try again")));
    boolean isTaken = false;
    try {
      label.holdAgainst(
          "server %s database %s\n".formatted(database.server(), database.database()));
      isTaken = true;
      return label;
    } finally {
      if (!isTaken) {
        label.close();
      }
    }
  }

  /** One without an end was being written when its run was killed, before it had any files. */
  private void holdAgainst(String ours) throws IOException {
    FileChannel channel = file.channel();
    ByteBuffer bytes = ByteBuffer.allocate(MAX_BYTES);
    while (bytes.hasRemaining() && channel.read(bytes) >= 0) {
      // to the end
    }
    String known = new String(bytes.array(), 0, bytes.position(), StandardCharsets.UTF_8);
    if (known.equals(ours)) {
      return;
    }
    if (known.endsWith("\n")) {
      throw new ArchiveFailedException(
          ErrorCode.CONFIGURATION,
          "archive: %s must be the archive of this database (%s), is that of %s; each database has a directory of its own"
              .formatted(path.getParent(), ours.strip(), known.strip()));
    }
    channel.truncate(0);
    ByteBuffer left = ByteBuffer.wrap(ours.getBytes(StandardCharsets.UTF_8));
    while (left.hasRemaining()) {
      channel.write(left, left.position());
    }
    channel.force(true);
    DurableFiles.forceNameOf(path);
  }

  @Override
  public void close() throws IOException {
    file.close();
  }
}
