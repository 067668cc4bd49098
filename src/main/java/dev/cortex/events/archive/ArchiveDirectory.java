package dev.cortex.events.archive;

import dev.cortex.events.file.DurableFiles;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * The files of an archive: {@code events/2026-01.jsonl.gz} and {@code attempts/2026-01.audit.gz},
 * each with a manifest beside it, and {@code database}, which says whose they are. No file is ever
 * written again or replaced.
 */
final class ArchiveDirectory {
  private final Path root;

  ArchiveDirectory(Path root) {
    this.root = root;
  }

  static ArchiveDirectory of(Optional<Path> given, Retention settings) {
    return new ArchiveDirectory(
        given.or(settings::directory).orElseThrow(Archive::withoutDirectory));
  }

  Path path(String name) {
    return root.resolve(name);
  }

  /** Makes it where it is missing, and takes it for this database until the label is closed. */
  DirectoryLabel take(Retention database) throws IOException {
    DurableFiles.makeDirectory(root);
    return DirectoryLabel.take(root, database);
  }

  /** Makes the directory of a file, whose name has to be on the disk before a month is dropped. */
  void prepare(String name) throws IOException {
    DurableFiles.makeDirectory(path(name.substring(0, name.indexOf('/'))));
  }

  /**
   * The first name that is free: {@code stem.suffix}, {@code stem-2.suffix} and so on. A file
   * without a manifest, left by a run that was killed, has its name too.
   */
  String freeName(String stem, String suffix) {
    String name = stem + suffix;
    for (int n = 2; isUsed(name); n++) {
      name = stem + "-" + n + suffix;
    }
    return name;
  }

  private boolean isUsed(String name) {
    return Files.exists(path(name), LinkOption.NOFOLLOW_LINKS)
        || Files.exists(path(name + Manifest.SUFFIX), LinkOption.NOFOLLOW_LINKS);
  }

  List<ArchivedFile> list() throws IOException {
    List<ArchivedFile> files = new ArrayList<>();
    for (String name : names()) {
      Optional<ArchivedFile> file = manifest(name);
      file.ifPresent(files::add);
    }
    return files;
  }

  List<FileCheck> verify() throws IOException {
    List<FileCheck> checks = new ArrayList<>();
    for (String name : names()) {
      checks.add(new FileCheck(name, defect(name)));
    }
    return checks;
  }

  /** The names of files and of those that only their manifests tell of. */
  private List<String> names() throws IOException {
    List<String> names = new ArrayList<>();
    for (String kind : List.of("events", "attempts")) {
      if (Files.isDirectory(path(kind))) {
        try (Stream<Path> files = Files.list(path(kind))) {
          files
              .map(file -> kind + "/" + file.getFileName())
              .map(name -> name.replaceFirst("\\" + Manifest.SUFFIX + "$", ""))
              .filter(name -> !name.endsWith(ArchiveWriter.PART))
              .distinct()
              .sorted()
              .forEach(names::add);
        }
      }
    }
    if (names.isEmpty() && !Files.isDirectory(root)) {
      throw new NoSuchFileException(root.toString());
    }
    return names;
  }

  private Optional<ArchivedFile> manifest(String name) throws IOException {
    Path manifest = path(name + Manifest.SUFFIX);
    return Files.exists(manifest) ? Manifest.read(manifest, name) : Optional.empty();
  }

  private Optional<String> defect(String name) throws IOException {
    if (!Files.exists(path(name + Manifest.SUFFIX))) {
      return Optional.of(
          "has no manifest: a run was interrupted before it was whole; it may be deleted");
    }
    Optional<ArchivedFile> known = manifest(name);
    return known.isEmpty()
        ? Optional.of("must have a manifest that can be read")
        : defect(known.get());
  }

  /** What is wrong with a file, read from its first byte to its last. */
  Optional<String> defect(ArchivedFile file) throws IOException {
    Path path = path(file.name());
    if (!Files.exists(path)) {
      return Optional.of("must exist");
    }
    if (Files.size(path) != file.bytes()) {
      return Optional.of("must have " + file.bytes() + " bytes, has " + Files.size(path));
    }
    try (InputStream bytes = Files.newInputStream(path);
        DigestInputStream digested = new DigestInputStream(bytes, ArchiveWriter.sha256())) {
      long rows = lines(digested);
      digested.transferTo(OutputStream.nullOutputStream());
      if (!ArchiveWriter.hex(digested.getMessageDigest().digest()).equals(file.sha256())) {
        return Optional.of("must have the SHA-256 of its manifest, has another");
      }
      return rows == file.rows()
          ? Optional.empty()
          : Optional.of("must have " + file.rows() + " lines, has " + rows);
    } catch (ZipException | EOFException e) {
      return Optional.of("must be compressed without damage");
    }
  }

  private static long lines(InputStream compressed) throws IOException {
    long lines = 0;
    InputStream plain = new GZIPInputStream(compressed, ArchiveWriter.PIECE_BYTES);
    byte[] piece = new byte[ArchiveWriter.PIECE_BYTES];
    for (int read = plain.read(piece); read >= 0; read = plain.read(piece)) {
      for (int i = 0; i < read; i++) {
        lines += piece[i] == '\n' ? 1 : 0;
      }
    }
    return lines;
  }
}
