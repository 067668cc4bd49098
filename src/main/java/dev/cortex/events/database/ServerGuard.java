package dev.cortex.events.database;

import dev.cortex.events.event.ErrorCode;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * Our side of {@code guard.sh}, which keeps the server for as long as somebody holds the FIFO. All
 * methods but the questions are called under the start lock.
 */
final class ServerGuard {
  /** A guard answers in a millisecond; one that needs this long has lost its watcher. */
  private static final Duration ANSWER = Duration.ofSeconds(30);

  /** A fast shutdown writes a checkpoint, which may be large. */
  private static final Duration SHUTDOWN = Duration.ofMinutes(5);

  private static final Duration START = Duration.ofMinutes(1);

  /** The system tells when a process began by its clock of that moment, and to whole seconds. */
  private static final Duration SAME_START = Duration.ofSeconds(10);

  /**
   * So often in a row may a server die before its first answer; the first deaths may be leftovers.
   */
  private static final int DEATHS_AT_START = 3;

  private static final String LOOPBACK = "127.0.0.1";

  private final ServerHome home;
  private final PostgresPrograms programs;
  private final LaunchIdentity identity;

  ServerGuard(ServerHome home, PostgresPrograms programs, LaunchIdentity identity) {
    this.home = home;
    this.programs = programs;
    this.identity = identity;
  }

  /** The guard's process, if it lives. */
  static Optional<Long> guard(ServerHome home) {
    return SystemProcess.number(home.guardPid())
        .filter(pid -> SystemProcess.lives(pid, home.guardScript()));
  }

  /** The server's process, if it lives. */
  static Optional<Long> postmaster(ServerHome home) {
    return SystemProcess.number(home.postmasterPid())
        .filter(pid -> SystemProcess.lives(pid, home.data()));
  }

  static DatabaseAddress address(ServerHome home) throws IOException {
    int port = home.knownPort().orElseThrow(() -> new IOException("no port in " + home.port()));
    return DatabaseAddress.of(
            "postgresql://" + LOOPBACK + ":" + port + "/" + DataDirectory.DATABASE)
        .withLogin(DataDirectory.LOGIN, home.readPassword())
        .withPasswordFile(home.passwordFile());
  }

  /**
   * Joins the running server, or starts one. The server stays for as long as the result is open.
   */
  RandomAccessFile joinOrStart() throws IOException {
    createFifo();
    RandomAccessFile hold = new RandomAccessFile(home.users().toFile(), "rw");
    try {
      if (guard(home).isEmpty() || !join(hold)) {
        start();
      }
      awaitReady();
      return hold;
    } catch (IOException | RuntimeException e) {
      hold.close();
      throw e;
    }
  }

  private void createFifo() throws IOException {
    if (!Files.exists(home.users())) {
      SystemProcess.Result made =
          SystemProcess.run(List.of("mkfifo", "-m", "600", home.users().toString()), "");
      if (!made.succeeded()) {
        throw new IOException("mkfifo: " + made.output().strip());
      }
      identity.own(home.users());
    }
  }

  /** False if the guard is gone now: it was stopping its server when we came, or did not answer. */
  private boolean join(RandomAccessFile hold) throws IOException {
    String token = UUID.randomUUID().toString();
    hold.write((token + "\n").getBytes(StandardCharsets.US_ASCII));
    Waiting.until(ANSWER, () -> answered(token));
    if (joined().filter(token::equals).isPresent()) {
      return true;
    }
    if (!Waiting.until(isStopping() ? SHUTDOWN : Duration.ZERO, () -> guard(home).isEmpty())) {
      guard(home).flatMap(ProcessHandle::of).ifPresent(ProcessHandle::destroyForcibly);
    }
    return false;
  }

  private boolean answered(String token) {
    return joined().filter(token::equals).isPresent() || isStopping() || guard(home).isEmpty();
  }

  private boolean isStopping() {
    return joined().filter("stopping"::equals).isPresent();
  }

  private Optional<String> joined() {
    try {
      return Optional.of(Files.readString(home.joined(), StandardCharsets.US_ASCII).strip());
    } catch (IOException e) {
      return Optional.empty(); // nobody has joined yet
    }
  }

  private void start() throws IOException {
    stopOrphan();
    int port = choosePort();
    home.write(home.port(), port + "\n");
    home.write(
        home.passwordFile(),
        PasswordFile.line(
                new DatabaseHost(LOOPBACK, port), "*", DataDirectory.LOGIN, home.readPassword())
            + "\n");
    Files.deleteIfExists(home.joined());
    Files.deleteIfExists(home.deaths());
    Files.deleteIfExists(home.guardPid());
    writeScript();
    launch(port);
  }

  /**
   * Ends a server whose guard was killed, and clears away the id of one that is dead. A living
   * process that has inherited the id would keep PostgreSQL from starting.
   */
  private void stopOrphan() throws IOException {
    Optional<Long> orphan = postmaster(home);
    if (orphan.isEmpty()) {
      forgetDead();
      return;
    }
    SystemProcess.signal("INT", orphan.get());
    if (!Waiting.until(SHUTDOWN, () -> postmaster(home).isEmpty())) {
      SystemProcess.signal("QUIT", orphan.get());
      Waiting.until(START, () -> postmaster(home).isEmpty());
    }
  }

  private void forgetDead() throws IOException {
    Optional<ProcessHandle> holder =
        SystemProcess.number(home.postmasterPid()).flatMap(ProcessHandle::of);
    if (holder.isEmpty()) {
      return; // PostgreSQL itself sees that it is dead
    }
    if (!isAnother(holder.get())) {
      throw new EmbeddedServerException(
          ErrorCode.CONFIGURATION,
          home.root(),
          "process "
              + holder.get().pid()
              + " may be its server, started under a name of the directory that is not this one;"
              + " use that name and its locale, or stop the process");
    }
    Files.deleteIfExists(home.postmasterPid());
  }

  /**
   * Whether the program, or the time of its start, shows that this is not the process that wrote
   * postmaster.pid. Where it may be that one, its data must not be touched.
   */
  private boolean isAnother(ProcessHandle process) {
    List<String> arguments = SystemProcess.arguments(process.pid());
    if (arguments.isEmpty() || !arguments.get(0).endsWith("/postgres")) {
      return true;
    }
    Optional<Instant> written = home.postmasterStart();
    return process
        .info()
        .startInstant()
        .flatMap(start -> written.map(time -> Duration.between(time, start).abs()))
        .filter(difference -> difference.compareTo(SAME_START) > 0)
        .isPresent();
  }

  private int choosePort() throws IOException {
    Optional<Integer> known = home.knownPort();
    if (known.isPresent() && isFree(known.get())) {
      return known.get();
    }
    try (ServerSocket free = new ServerSocket(0, 1, loopback())) {
      return free.getLocalPort();
    }
  }

  private static InetAddress loopback() throws IOException {
    return InetAddress.getByAddress(LOOPBACK, new byte[] {127, 0, 0, 1});
  }

  private static boolean isFree(int port) {
    try (ServerSocket socket = new ServerSocket()) {
      socket.setReuseAddress(true);
      socket.bind(new InetSocketAddress(loopback(), port));
      return true;
    } catch (IOException e) {
      return false;
    }
  }

  private void writeScript() throws IOException {
    try (@Nullable InputStream script = ServerGuard.class.getResourceAsStream("guard.sh")) {
      if (script == null) {
        throw new IOException("guard.sh is missing from the class path");
      }
      home.write(home.guardScript(), new String(script.readAllBytes(), StandardCharsets.UTF_8));
    }
    identity.own(home.guardScript());
  }

  private void launch(int port) throws IOException {
    if (Files.exists(home.guardLog())) {
      Path previous = home.root().resolve("guard.log.1");
      Files.move(home.guardLog(), previous, StandardCopyOption.REPLACE_EXISTING);
    }
    List<String> command =
        identity.command(
            "/bin/sh",
            home.guardScript().toString(),
            home.root().toString(),
            programs.program("postgres").toString(),
            "-D",
            home.data().toString(),
            "-p",
            Integer.toString(port),
            "-c",
            "listen_addresses=" + LOOPBACK,
            "-c",
            "unix_socket_directories=");
    Process unused =
        SystemProcess.builder(OwnSession.command(command))
            .redirectInput(Path.of("/dev/null").toFile())
            .redirectErrorStream(true)
            .redirectOutput(home.guardLog().toFile())
            .start();
  }

  /** A recovery may take as long as it takes; a server that says nothing may not. */
  private void awaitReady() throws IOException {
    DatabaseAddress address = address(home);
    long end = System.nanoTime() + START.toNanos();
    for (Answer answer = ask(address); answer != Answer.READY; answer = ask(address)) {
      if (answer == Answer.STARTING) {
        end = System.nanoTime() + START.toNanos();
      }
      if (hasFailed() || System.nanoTime() - end >= 0 || !Waiting.pause()) {
        throw new EmbeddedServerException(
            ErrorCode.UNAVAILABLE,
            home.root(),
            "the server did not start (run as " + identity.name() + "); its log:" + home.logTail());
      }
    }
  }

  private boolean hasFailed() {
    return SystemProcess.number(home.deaths()).orElse(0L) >= DEATHS_AT_START;
  }

  private enum Answer {
    READY,
    STARTING,
    NONE
  }

  /** Ready means that our server answers: somebody else's may have taken the port. */
  private Answer ask(DatabaseAddress address) {
    try (Connection connection = address.dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("show data_directory")) {
      return row.next() && Files.isSameFile(Path.of(row.getString(1)), home.data())
          ? Answer.READY
          : Answer.NONE;
    } catch (SQLException e) {
      return "57P03".equals(e.getSQLState()) ? Answer.STARTING : Answer.NONE;
    } catch (IOException | InvalidPathException e) {
      return Answer.NONE;
    }
  }
}
