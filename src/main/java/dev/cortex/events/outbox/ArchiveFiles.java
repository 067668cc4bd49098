package dev.cortex.events.outbox;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.function.LongConsumer;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;
import org.jspecify.annotations.Nullable;

/** The files of an archive, and their bytes. */
final class ArchiveFiles {
  private static final int PIECE_BYTES = 64 * 1024;

  private ArchiveFiles() {}

  /**
   * A file stands for itself, whatever its name; a directory for all {@code .json} and {@code
   * .jsonl} files below it, compressed or not, in the order of their paths. Symbolic links inside a
   * directory are not followed. No file comes twice.
   */
  static Collection<Path> under(Path path) throws IOException {
    if (!Files.isDirectory(path)) {
      path.getFileSystem().provider().checkAccess(path);
      return List.of(path);
    }
    List<Path> found = new ArrayList<>();
    Files.walkFileTree(
        path,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
            if (attributes.isRegularFile() && isArchive(file)) {
              found.add(file);
            }
            return FileVisitResult.CONTINUE;
          }
        });
    found.sort(null);
    return new LinkedHashSet<>(found);
  }

  private static boolean isArchive(Path file) {
    return file.toString().matches("(?s).*\\.jsonl?(\\.gz)?");
  }

  /**
   * The file's bytes, decompressed where its name ends in {@code .gz}; how many are taken from the
   * disk is told. Damage to the compression is thrown as {@link ZipException} or {@link
   * EOFException} when it is met.
   */
  static InputStream open(Path file, LongConsumer taken) throws IOException {
    InputStream bytes =
        new BufferedInputStream(new CountedBytes(Files.newInputStream(file), taken), PIECE_BYTES);
    return file.toString().endsWith(".gz") ? new Decompressed(bytes) : bytes;
  }

  /** Whether the file is there for one event: a file of lines may well have none. */
  static boolean isOfOneEvent(Path file) {
    return file.toString().matches("(?s).*\\.json(\\.gz)?");
  }

  /** What stands for an empty file in the quarantine, where nothing but its name tells it apart. */
  static Document nothingOf(Path file) {
    byte[] name = file.toString().getBytes(StandardCharsets.UTF_8);
    return new Document(1, new byte[0], 0, Quarantine.sha256().digest(name));
  }

  /** The file itself as a document, to be quarantined: its bytes as they are. */
  static Document whole(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      MessageDigest digest = Quarantine.sha256();
      byte[] head = in.readNBytes(Quarantine.KEPT_BYTES);
      long size = 0;
      for (byte[] piece = head; piece.length > 0; piece = in.readNBytes(PIECE_BYTES)) {
        digest.update(piece);
        size += piece.length;
      }
      return new Document(1, head, size, digest.digest());
    }
  }

  /** Reads the header at the first read, so that a damaged one is met like any other damage. */
  private static final class Decompressed extends InputStream {
    private final InputStream compressed;
    private @Nullable InputStream plain;

    private Decompressed(InputStream compressed) {
      this.compressed = compressed;
    }

    @Override
    public int read() throws IOException {
      return plain().read();
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
      return plain().read(target, offset, length);
    }

    private InputStream plain() throws IOException {
      InputStream known = plain;
      if (known == null) {
        known = new GZIPInputStream(compressed, PIECE_BYTES);
        plain = known;
      }
      return known;
    }

    @Override
    public void close() throws IOException {
      InputStream known = plain;
      if (known == null) {
        compressed.close();
      } else {
        known.close(); // and what it reads from
      }
    }
  }
}
