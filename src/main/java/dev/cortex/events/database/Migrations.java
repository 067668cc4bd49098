package dev.cortex.events.database;

import dev.cortex.events.event.ErrorCode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.LockSupport;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.FlywayException;
import org.flywaydb.core.api.MigrationInfo;
import org.flywaydb.core.api.configuration.FluentConfiguration;
import org.flywaydb.core.api.logging.Log;
import org.flywaydb.core.api.logging.LogCreator;
import org.flywaydb.core.api.output.MigrateOutput;
import org.flywaydb.database.postgresql.PostgreSQLConfigurationExtension;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings the schemas {@code cortex} (the engine) and {@code fleet} to their newest version, each
 * with a history of its own. The login needs CREATE on the database and, where it is to make the
 * roles, CREATEROLE; it need not be a superuser. Two processes that migrate at once wait for each
 * other.
 *
 * <p>A statement that waits for a lock makes everybody who comes later wait behind it. So each
 * waits for a short time only, steps back, and is tried again after a pause.
 *
 * <p>The only class that needs Flyway on the class path.
 */
public final class Migrations {
  private static final String ROOT = "classpath:dev/cortex/events/migrations/";
  private static final String HISTORY = "schema_history";

  /** Between two attempts; long enough for those who queued behind us to pass. */
  private static final Duration SHORTEST_PAUSE = Duration.ofMillis(500);

  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(3);

  private final DatabaseAddress address;
  private final MigrationOptions options;
  private final String root;

  Migrations(DatabaseAddress address, MigrationOptions options, String root) {
    this.address = address;
    this.options = options;
    this.root = root;
  }

  /** The migrations of this program, for one database. Nothing is connected yet. */
  public static Migrations of(DatabaseAddress address, MigrationOptions options) {
    return new Migrations(address, options, ROOT);
  }

  /**
   * Applies what is missing.
   *
   * @return what was applied, in order; empty if the schemas were up to date
   * @throws MigrationFailedException if a step failed; the steps before it stay
   */
  public List<Migration> migrate() {
    List<Migration> applied = new ArrayList<>(migrate("cortex", "engine"));
    if (options.fleet()) {
      applied.addAll(migrate("fleet", "fleet"));
    }
    return List.copyOf(applied);
  }

  /**
   * What {@link #migrate} would apply, in order.
   *
   * @throws MigrationFailedException if the history cannot be read
   */
  public List<Migration> pending() {
    List<Migration> pending = new ArrayList<>(pending("cortex", "engine"));
    if (options.fleet()) {
      pending.addAll(pending("fleet", "fleet"));
    }
    return List.copyOf(pending);
  }

  private List<Migration> migrate(String schema, String directory) {
    Flyway flyway = flyway(schema, directory);
    for (int attempt = 1; ; attempt++) {
      try {
        return migrate(flyway, schema);
      } catch (FlywayException e) {
        if (!isContention(e) || attempt >= options.attempts()) {
          throw failed(schema, e, attempt);
        }
        pause();
      }
    }
  }

  private static List<Migration> migrate(Flyway flyway, String schema) {
    List<Migration> applied = new ArrayList<>();
    for (MigrateOutput step : flyway.migrate().migrations) {
      applied.add(migration(schema, step.version, step.description));
    }
    return applied;
  }

  private List<Migration> pending(String schema, String directory) {
    List<Migration> pending = new ArrayList<>();
    try {
      for (MigrationInfo step : flyway(schema, directory).info().pending()) {
        @Nullable Object version = step.getVersion();
        pending.add(
            migration(schema, version == null ? null : version.toString(), step.getDescription()));
      }
    } catch (FlywayException e) {
      throw failed(schema, e, 1);
    }
    return pending;
  }

  private static Migration migration(
      String schema, @Nullable String version, @Nullable String description) {
    return new Migration(
        schema,
        version == null || version.isEmpty() ? Migration.REPEATABLE : version,
        description == null ? "" : description);
  }

  private Flyway flyway(String schema, String directory) {
    Map<String, String> placeholders = new HashMap<>(options.roles().placeholders());
    placeholders.put("create_roles", Boolean.toString(options.createRoles()));
    FluentConfiguration configuration =
        Flyway.configure()
            .loggers(QuietLogs.class.getName())
            // All or nothing, so that nobody meets half a schema.
            .group(true)
            .dataSource(
                address
                    .withApplicationName("cortex-migrate")
                    .withLockTimeout(options.lockTimeout())
                    .dataSource())
            .locations(root + directory)
            .defaultSchema(schema)
            .schemas(schema)
            .table(HISTORY)
            .placeholders(placeholders);
    // A session lock: a transaction held open for the lock would block CREATE INDEX CONCURRENTLY.
    configuration
        .getConfigurationExtension(PostgreSQLConfigurationExtension.class)
        .setTransactionalLock(false);
    return configuration.load();
  }

  private static boolean isContention(FlywayException e) {
    return DatabaseFault.of(e).filter(DatabaseFault.CONTENTION::equals).isPresent();
  }

  private static MigrationFailedException failed(String schema, FlywayException e, int attempts) {
    String problem = String.valueOf(e.getMessage()).strip();
    if (isContention(e)) {
      return new MigrationFailedException(
          ErrorCode.TEMPORARY,
          schema,
          "could not have a lock in "
              + attempts
              + " attempts; is a long transaction open? "
              + problem,
          e);
    }
    return new MigrationFailedException(code(e), schema, problem, e);
  }

  private static ErrorCode code(FlywayException e) {
    DatabaseFault fault = DatabaseFault.of(e).orElse(DatabaseFault.OTHER);
    return switch (fault) {
      case CONNECTION_LOST -> ErrorCode.UNAVAILABLE;
      case ACCESS_DENIED -> ErrorCode.NOT_PERMITTED;
      default -> ErrorCode.CONFIGURATION;
    };
  }

  private static void pause() {
    LockSupport.parkNanos(
        ThreadLocalRandom.current().nextLong(SHORTEST_PAUSE.toNanos(), LONGEST_PAUSE.toNanos()));
  }

  /**
   * Sends what Flyway has to say to our own log, where only its warnings are loud. Public because
   * Flyway makes it by name; of no use to anybody else.
   */
  public static final class QuietLogs implements LogCreator {
    /** For Flyway, which makes it by name. */
    public QuietLogs() {}

    @Override
    public Log createLogger(Class<?> source) {
      return new QuietLog(LoggerFactory.getLogger(Migrations.class));
    }
  }

  private record QuietLog(Logger log) implements Log {
    @Override
    public void debug(String message) {
      log.trace("{}", message);
    }

    @Override
    public void info(String message) {
      log.debug("{}", message);
    }

    @Override
    public void notice(String message) {
      log.debug("{}", message);
    }

    @Override
    public void warn(String message) {
      log.warn("{}", message);
    }

    @Override
    public void error(String message) {
      log.debug("{}", message); // thrown as well
    }

    @Override
    public void error(String message, Exception e) {
      log.debug("{}", message, e); // thrown as well
    }
  }
}
