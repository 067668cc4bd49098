package dev.cortex.events.database;

import dev.cortex.events.event.ErrorCode;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A real PostgreSQL server of our own, for a machine on which no database is named. Its data are
 * kept in a directory, and whoever opens that directory uses the same server: the first process
 * starts it, the next ones join it, and it stops when the last of them has closed it or has died,
 * of whatever. A server that crashes meanwhile is started again. It listens on 127.0.0.1 only and
 * is as durable as any PostgreSQL.
 *
 * <p>The login {@code cortex} owns the database {@code cortex} and is no superuser. Passwords are
 * random and lie in files that only the owner of the directory can read.
 *
 * <p>Needs the archive of PostgreSQL's programs, commons-compress and xz on the class path, and
 * Linux or macOS.
 */
public final class EmbeddedPostgres implements AutoCloseable {
  /**
   * One start or join at a time in this JVM. The file lock is between processes only, and closing
   * any channel to the file would give up the lock of another thread.
   */
  private static final ReentrantLock ONE_AT_A_TIME = new ReentrantLock();

  /** What we hold open, so that a server does not stop because somebody kept only its address. */
  private static final Set<RandomAccessFile> HOLDS = ConcurrentHashMap.newKeySet();

  private final ServerHome home;
  private final DatabaseAddress address;
  private final RandomAccessFile hold;

  private EmbeddedPostgres(ServerHome home, DatabaseAddress address, RandomAccessFile hold) {
    this.home = home;
    this.address = address;
    this.hold = hold;
    HOLDS.add(hold);
  }

  /**
   * The server of the default directory: {@code cortex-events/postgres-N} in {@code XDG_DATA_HOME},
   * else in {@code ~/.local/share}; in {@code /var/lib} where root has to run it as another user.
   *
   * @throws EmbeddedServerException if it cannot be unpacked, made or started
   */
  public static EmbeddedPostgres open() {
    LaunchIdentity identity = LaunchIdentity.detect();
    PostgresPrograms programs = PostgresPrograms.unpacked(System.getenv(), identity);
    return open(
        ServerHome.ofMajor(programs.major(), System.getenv(), identity), programs, identity);
  }

  /**
   * The server of this directory, which is made if it is not there. One that is there must be empty
   * or a server's, belong to the user who runs this program, and be closed to others (mode 0700).
   *
   * @throws EmbeddedServerException if it cannot be unpacked, made or started
   */
  public static EmbeddedPostgres open(Path directory) {
    return open(directory, LaunchIdentity.detect());
  }

  /**
   * Refuses a directory that {@link #open(Path)} would refuse, before anything is made.
   *
   * @throws EmbeddedServerException if it is there and is not one to be taken
   */
  public static void requireFit(Path directory) {
    try {
      if (Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
        requireOurs(directory, LaunchIdentity.detect());
      }
    } catch (IOException e) {
      throw EmbeddedServerException.of(directory, "cannot be opened", "", e);
    }
  }

  static EmbeddedPostgres open(Path directory, LaunchIdentity identity) {
    return open(
        ServerHome.of(directory), PostgresPrograms.unpacked(System.getenv(), identity), identity);
  }

  private static EmbeddedPostgres open(
      ServerHome home, PostgresPrograms programs, LaunchIdentity identity) {
    ONE_AT_A_TIME.lock();
    try {
      prepare(home.root(), identity);
      try (FileChannel channel =
          FileChannel.open(home.lock(), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
        channel.lock(); // given up with the channel
        new DataDirectory(home, programs, identity).prepare();
        RandomAccessFile hold = new ServerGuard(home, programs, identity).joinOrStart();
        return new EmbeddedPostgres(home, ServerGuard.address(home), hold);
      }
    } catch (IOException e) {
      throw EmbeddedServerException.of(home.root(), "cannot be opened", home.logTail(), e);
    } finally {
      ONE_AT_A_TIME.unlock();
    }
  }

  private static void prepare(Path root, LaunchIdentity identity) throws IOException {
    if (Files.exists(root, LinkOption.NOFOLLOW_LINKS)) {
      requireOurs(root, identity);
    } else {
      // Others must pass through what lies above; the directory itself is ours alone.
      Files.createDirectories(root.resolve("..").normalize());
      ServerHome.createPrivate(root);
    }
    identity.own(root);
    if (identity.user().isPresent() && !reaches(root, identity)) {
      throw new EmbeddedServerException(
          ErrorCode.CONFIGURATION,
          root,
          "the user "
              + identity.user().get()
              + ", as whom root runs PostgreSQL here, must be able to enter every directory above");
    }
  }

  /**
   * A directory that was there before is taken only if it is empty or a server's, and nobody else
   * can have put anything into it. Otherwise it is left as it is: root would give a directory such
   * as {@code /tmp} to another user.
   */
  private static void requireOurs(Path root, LaunchIdentity identity) throws IOException {
    if (!Files.isDirectory(root)) {
      throw unfit(root, "must be a directory");
    }
    if (!identity.owns(root)) {
      throw unfit(
          root,
          "must belong to the user who runs this program, and belongs to "
              + Files.getOwner(root).getName());
    }
    String permissions = PosixFilePermissions.toString(Files.getPosixFilePermissions(root));
    if (!permissions.equals("rwx------")) {
      throw unfit(root, "must be closed to others (chmod 700), and is " + permissions);
    }
    if (!ServerHome.of(root).isEmptyOrOurs()) {
      throw unfit(root, "must be empty or a server's; it holds something else");
    }
  }

  private static EmbeddedServerException unfit(Path root, String problem) {
    return new EmbeddedServerException(ErrorCode.CONFIGURATION, root, "the directory " + problem);
  }

  private static boolean reaches(Path root, LaunchIdentity identity) throws IOException {
    return SystemProcess.run(identity.command("test", "-w", root.toString()), "").succeeded();
  }

  /** What is known of the server of the default directory, without starting it. */
  public static EmbeddedServerStatus status() {
    return status(defaultDirectory(System.getenv()));
  }

  /** What is known of the server of this directory, without starting it. */
  public static EmbeddedServerStatus status(Path directory) {
    ServerHome home = ServerHome.of(directory);
    Optional<Long> process = ServerGuard.postmaster(home);
    return new EmbeddedServerStatus(
        home.root(), home.major(), process, process.flatMap(pid -> knownAddress(home)));
  }

  private static Optional<DatabaseAddress> knownAddress(ServerHome home) {
    try {
      return Optional.of(ServerGuard.address(home));
    } catch (IOException e) {
      return Optional.empty(); // it is being made
    }
  }

  /**
   * The directory that {@link #open()} uses. May unpack PostgreSQL, whose version is in the name.
   */
  public static Path defaultDirectory(Map<String, String> environment) {
    LaunchIdentity identity = LaunchIdentity.detect();
    PostgresPrograms programs = PostgresPrograms.unpacked(environment, identity);
    return ServerHome.ofMajor(programs.major(), environment, identity).root();
  }

  /** Where and as whom to log in. Stays the same for as long as the directory's port is free. */
  public DatabaseAddress address() {
    return address;
  }

  /** The directory of the server and its data. */
  public Path directory() {
    return home.root();
  }

  /** The end of the server's log, line by line. */
  public String logTail() {
    return home.logTail();
  }

  /**
   * Gives up the server, which stops if nobody else uses it. Does not wait for that. Closing twice
   * does nothing.
   */
  @Override
  public void close() {
    try {
      hold.close();
    } catch (IOException e) {
      throw EmbeddedServerException.of(home.root(), "cannot be given up", e);
    } finally {
      HOLDS.remove(hold);
    }
  }

  /**
   * Waits until the server has stopped, which it does when the last process that used it has let it
   * go.
   *
   * @return whether it has stopped within the time
   */
  public boolean awaitStopped(Duration time) {
    return Waiting.until(
        time, () -> ServerGuard.guard(home).isEmpty() && ServerGuard.postmaster(home).isEmpty());
  }

  /** The directory and the address, without a password. */
  @Override
  public String toString() {
    return "EmbeddedPostgres[" + home.root() + ", " + address + "]";
  }
}
