package dev.cortex.events.database;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The directory of one embedded server: its data, and beside them what its users share. Readable by
 * its owner only.
 *
 * @param root absolute
 */
record ServerHome(Path root) {
  /** Written to the end of a message: enough for a cause, little enough to read. */
  private static final int TAIL_LINES = 15;

  static ServerHome of(Path directory) {
    return new ServerHome(directory.toAbsolutePath().normalize());
  }

  /** {@code $XDG_DATA_HOME/cortex-events/postgres-N}, below {@code /var/lib} for another user. */
  static ServerHome ofMajor(int major, Map<String, String> environment, LaunchIdentity identity) {
    Path base =
        identity.user().isPresent()
            ? Path.of("/var/lib")
            : base(environment, "XDG_DATA_HOME", ".local/share");
    return of(base.resolve("cortex-events").resolve("postgres-" + major));
  }

  /** A base directory of the user, as the XDG specification has it. */
  static Path base(Map<String, String> environment, String variable, String belowHome) {
    @Nullable String value = environment.get(variable);
    return value != null && value.startsWith("/")
        ? Path.of(value)
        : userHome(environment).resolve(belowHome);
  }

  /** {@code $HOME}, as every shell has it; the JVM looks into the user database instead. */
  static Path userHome(Map<String, String> environment) {
    @Nullable String home = environment.get("HOME");
    return home != null && home.startsWith("/")
        ? Path.of(home)
        : Path.of(System.getProperty("user.home", "/tmp"));
  }

  /** Whether nothing is here, or what a start makes first, or what it keeps longest. */
  boolean isEmptyOrOurs() throws IOException {
    try (Stream<Path> entries = Files.list(root)) {
      return entries.findAny().isEmpty() || Files.exists(lock()) || Files.exists(password());
    }
  }

  Path data() {
    return root.resolve("data");
  }

  /** The lock that is held while a server is started or joined, and only then. */
  Path lock() {
    return root.resolve("start.lock");
  }

  /** The FIFO that every user of the server holds open. */
  Path users() {
    return root.resolve("users");
  }

  Path joined() {
    return root.resolve("joined");
  }

  Path deaths() {
    return root.resolve("deaths");
  }

  Path guardPid() {
    return root.resolve("guard.pid");
  }

  Path guardScript() {
    return root.resolve("guard.sh");
  }

  Path guardLog() {
    return root.resolve("guard.log");
  }

  Path postmasterPid() {
    return data().resolve("postmaster.pid");
  }

  /** When the server began that wrote its id there last, by this machine's clock. */
  Optional<Instant> postmasterStart() {
    try (Stream<String> lines = Files.lines(postmasterPid(), StandardCharsets.ISO_8859_1)) {
      return lines
          .skip(2)
          .findFirst()
          .map(line -> Instant.ofEpochSecond(Long.parseLong(line.strip())));
    } catch (IOException | NumberFormatException e) {
      return Optional.empty();
    }
  }

  Path port() {
    return root.resolve("port");
  }

  /** The superuser's password; nothing of ours reads it once the data directory is made. */
  Path superuserPassword() {
    return root.resolve("postgres.password");
  }

  Path password() {
    return root.resolve("cortex.password");
  }

  Path passwordFile() {
    return root.resolve("pgpass");
  }

  /** The major version whose data lie here, if any do. */
  Optional<Integer> major() {
    return SystemProcess.number(data().resolve("PG_VERSION")).map(Long::intValue);
  }

  Optional<Integer> knownPort() {
    return SystemProcess.number(port()).map(Long::intValue);
  }

  String readPassword() throws IOException {
    return Files.readString(password(), StandardCharsets.UTF_8).strip();
  }

  /** Writes a file that only we may read, and that is never seen half written. */
  void write(Path file, String text) throws IOException {
    Path whole =
        Files.createTempFile(
            root,
            file.getFileName() + ".",
            ".new",
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    Files.writeString(whole, text, StandardCharsets.UTF_8);
    Files.move(whole, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  static void createPrivate(Path directory) throws IOException {
    Files.createDirectories(
        directory,
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
  }

  /** The last lines of the guard's log and of the server's newest log. */
  String logTail() {
    return Stream.concat(Stream.of(guardLog()), newestServerLog().stream())
        .flatMap(file -> tail(file).stream())
        .reduce("", (all, line) -> all + "\n  " + line);
  }

  private Optional<Path> newestServerLog() {
    try (Stream<Path> logs = Files.list(data().resolve("log"))) {
      return logs.max((a, b) -> Long.compare(a.toFile().lastModified(), b.toFile().lastModified()));
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  private static List<String> tail(Path file) {
    try (InputStream in = Files.newInputStream(file)) {
      // A reader puts a mark in place of what is no UTF-8.
      List<String> all =
          new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8)).lines().toList();
      return all.subList(Math.max(0, all.size() - TAIL_LINES), all.size());
    } catch (IOException | UncheckedIOException e) {
      return List.of();
    }
  }
}
