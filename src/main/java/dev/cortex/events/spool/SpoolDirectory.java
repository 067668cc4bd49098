package dev.cortex.events.spool;

import dev.cortex.events.file.DurableFiles;
import dev.cortex.events.file.FileOwner;
import dev.cortex.events.file.LockedFile;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/**
 * The files of a spool. {@code WRITER.NUMBER.jsonl} is written to or waits, with {@code .draining}
 * behind it it has been taken from its writer; {@code damaged} holds files with lines that could
 * not be read. Links are never followed.
 */
record SpoolDirectory(Path path) {
  private static final String DAMAGED = "damaged";
  private static final String LOCK = "drain.lock";

  /** In which the shell notes since when the database is away. */
  private static final String AWAY = "away";

  private static final int OPEN_TO_OTHERS = 077;
  private static final Set<PosixFilePermission> PRIVATE_FILE =
      PosixFilePermissions.fromString("rw-------");

  /** Exists, and is what it has to be. */
  boolean exists() throws IOException {
    if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
      return false;
    }
    if (!Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)) {
      throw SpoolFailedException.unfit(path.toString(), "must be a directory, and not a link");
    }
    if (((int) Files.getAttribute(path, "unix:mode") & OPEN_TO_OTHERS) != 0) {
      throw SpoolFailedException.unfit(path.toString(), "must be open to its owner only (0700)");
    }
    if (!FileOwner.isSelf(path)) {
      throw SpoolFailedException.unfit(path.toString(), "must belong to the user of this process");
    }
    return true;
  }

  /** Made where it is missing. */
  void make() throws IOException {
    if (!exists()) {
      DurableFiles.makeDirectory(path);
      exists();
    }
  }

  /** A file that was not there before. */
  FileChannel create(Path file) throws IOException {
    return FileChannel.open(
        file,
        Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS),
        PosixFilePermissions.asFileAttribute(PRIVATE_FILE));
  }

  /** Puts names on the disk that were made, changed or removed in the directory. */
  void force() throws IOException {
    DurableFiles.forceNameOf(path.resolve(LOCK));
  }

  /** What waits, in the order in which it is drained: for each writer, oldest first. */
  List<SpoolFile> files() throws IOException {
    try (Stream<Path> entries = Files.list(path)) {
      return entries
          .filter(SpoolFile::isOne)
          .filter(entry -> Files.isRegularFile(entry, LinkOption.NOFOLLOW_LINKS))
          .map(SpoolFile::new)
          .sorted()
          .toList();
    }
  }

  /** What no drain looks at, and is none of the spool's own: links, and names of another form. */
  List<Path> foreign() throws IOException {
    try (Stream<Path> entries = Files.list(path)) {
      return entries.filter(entry -> !isKnown(entry)).sorted().toList();
    }
  }

  private static boolean isKnown(Path entry) {
    String name = entry.getFileName().toString();
    return name.equals(DAMAGED)
        ? Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)
        : Files.isRegularFile(entry, LinkOption.NOFOLLOW_LINKS)
            && (name.equals(LOCK) || name.equals(AWAY) || SpoolFile.isOne(entry));
  }

  /** Files that hold damaged lines. */
  List<Path> damaged() throws IOException {
    Path aside = path.resolve(DAMAGED);
    if (!Files.isDirectory(aside, LinkOption.NOFOLLOW_LINKS)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(aside)) {
      return entries.sorted().toList();
    }
  }

  /** Keeps a file where no drain looks. */
  void setAside(Path file) throws IOException {
    Path aside = path.resolve(DAMAGED);
    if (!Files.isDirectory(aside, LinkOption.NOFOLLOW_LINKS)) {
      Files.createDirectory(aside, privately("rwx------"));
    }
    Path kept = aside.resolve(file.getFileName());
    Files.move(file, kept, StandardCopyOption.ATOMIC_MOVE);
    DurableFiles.forceNameOf(kept);
    force();
  }

  /** The right to drain, which ends with the process; empty while another drain has it. */
  Optional<LockedFile> tryDrainLock() throws IOException {
    return LockedFile.tryLock(path.resolve(LOCK));
  }

  private static FileAttribute<Set<PosixFilePermission>> privately(String mode) {
    return PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(mode));
  }
}
