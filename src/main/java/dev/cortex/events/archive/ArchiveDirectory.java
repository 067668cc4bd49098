package dev.cortex.events.archive;

import dev.cortex.events.event.FileFault;
import dev.cortex.events.file.DurableFiles;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NotDirectoryException;
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

  Path root() {
    return root;
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

  /**
   * What the manifests say.
   *
   * @param files those whose manifest can be read
   * @param unreadable the names of those whose manifest cannot be
   */
  record Manifests(List<ArchivedFile> files, List<String> unreadable) {}

  Manifests manifests() throws IOException {
    Manifests manifests = new Manifests(new ArrayList<>(), new ArrayList<>());
    for (String name : names()) {
      if (hasManifest(name)) {
        manifest(name)
            .ifPresentOrElse(manifests.files()::add, () -> manifests.unreadable().add(name));
      }
    }
    return manifests;
  }

  List<FileCheck> verify() throws IOException {
    List<ArchivedFile> known = manifests().files();
    List<FileCheck> checks = new ArrayList<>();
    for (String name : names()) {
      checks.add(new FileCheck(name, defect(name, known)));
    }
    return checks;
  }

  /** The names of files and of those that only their manifests tell of; none before the first. */
  private List<String> names() throws IOException {
    if (Files.exists(root) && !Files.isDirectory(root)) {
      throw new NotDirectoryException(root.toString());
    }
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
    return names;
  }

  private boolean hasManifest(String name) {
    return Files.exists(path(name + Manifest.SUFFIX), LinkOption.NOFOLLOW_LINKS);
  }

  private Optional<ArchivedFile> manifest(String name) {
    return Manifest.read(path(name + Manifest.SUFFIX), name);
  }

  private Optional<String> defect(String name, List<ArchivedFile> known) {
    Optional<ArchivedFile> manifest = manifest(name);
    if (manifest.isPresent()) {
      return defect(manifest.get());
    }
    String missing =
        hasManifest(name) ? "must have a manifest that can be read" : "has no manifest";
    try {
      return Optional.of(missing + "; " + worth(Content.of(path(name)), known));
    } catch (IOException e) {
      return Optional.of(missing + "; keep it: it may be the only copy; " + unreadable(e));
    }
  }

  /**
   * What a file without a manifest is good for. A run that was killed leaves one whose rows the
   * next run has written again; but a manifest can be lost too.
   */
  private String worth(Content content, List<ArchivedFile> known) {
    return known.stream()
        .filter(file -> file.sha256().equals(content.sha256()) && defect(file).isEmpty())
        .findFirst()
        .map(file -> "it is the same as " + file.name() + ", which is whole: it is not needed")
        .orElse("keep it: it may be the only copy; its " + content.lines() + " lines can be read");
  }

  /** What is wrong with a file, read from its first byte to its last. */
  Optional<String> defect(ArchivedFile file) {
    Path path = path(file.name());
    if (!Files.exists(path)) {
      return Optional.of("must exist");
    }
    try {
      if (Files.size(path) != file.bytes()) {
        return Optional.of("must have " + file.bytes() + " bytes, has " + Files.size(path));
      }
      Content content = Content.of(path);
      if (!content.sha256().equals(file.sha256())) {
        return Optional.of("must have the SHA-256 of its manifest, has another");
      }
      return content.lines() == file.rows()
          ? Optional.empty()
          : Optional.of("must have " + file.rows() + " lines, has " + content.lines());
    } catch (IOException e) {
      return Optional.of(unreadable(e));
    }
  }

  private static String unreadable(IOException e) {
    return e instanceof ZipException || e instanceof EOFException
        ? "must be compressed without damage"
        : "must be readable: " + FileFault.of(e).reason();
  }

  /** What a file has: its lines, and the digest of its bytes. */
  private record Content(long lines, String sha256) {
    static Content of(Path path) throws IOException {
      try (InputStream bytes = Files.newInputStream(path);
          DigestInputStream digested = new DigestInputStream(bytes, ArchiveWriter.sha256());
          InputStream plain = new GZIPInputStream(digested, ArchiveWriter.PIECE_BYTES)) {
        long lines = lines(plain);
        digested.transferTo(OutputStream.nullOutputStream());
        return new Content(lines, ArchiveWriter.hex(digested.getMessageDigest().digest()));
      }
    }

    private static long lines(InputStream plain) throws IOException {
      long lines = 0;
      byte[] piece = new byte[ArchiveWriter.PIECE_BYTES];
      for (int read = plain.read(piece); read >= 0; read = plain.read(piece)) {
        for (int i = 0; i < read; i++) {
          lines += piece[i] == '\n' ? 1 : 0;
        }
      }
      return lines;
    }
  }
}
