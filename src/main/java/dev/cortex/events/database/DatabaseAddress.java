package dev.cortex.events.database;

import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;
import org.postgresql.PGProperty;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * Where a PostgreSQL database is and as whom to log in. Immutable; its text never shows the
 * password.
 *
 * <p>Read from a URL or from the variables that {@code psql} reads, and where {@code psql} would
 * look further for something missing, so does this: a password, for instance, comes from the URL,
 * else {@code PGPASSWORD}, else the password file. Two defaults are stricter than libpq's:
 *
 * <ul>
 *   <li>a host other than this machine is spoken to with {@code sslmode=verify-full}, unless the
 *       URL or {@code PGSSLMODE} says otherwise;
 *   <li>of several hosts the primary is used, unless {@code target_session_attrs} says otherwise.
 * </ul>
 */
public final class DatabaseAddress {
  private final AddressParts parts;

  private DatabaseAddress(AddressParts parts) {
    this.parts = parts;
  }

  /**
   * The address that a URL describes, with nothing taken from the environment but the password
   * file.
   *
   * @param url {@code postgresql://}, {@code postgres://} or {@code jdbc:postgresql://}
   * @throws InvalidAddressException if the URL breaks a rule
   */
  public static DatabaseAddress of(String url) {
    return of(url, Map.of());
  }

  /**
   * The address that a URL describes; what it leaves out is taken from the PG* variables.
   *
   * @throws InvalidAddressException if the URL or a variable breaks a rule
   */
  public static DatabaseAddress of(String url, Map<String, String> environment) {
    return new DatabaseAddress(AddressParts.read(DatabaseUrl.parse(url), environment));
  }

  /**
   * The address that {@code DATABASE_URL} describes, else the PG* variables if they name a host or
   * a database, else none.
   *
   * @throws InvalidAddressException if a variable breaks a rule
   */
  public static Optional<DatabaseAddress> fromEnvironment(Map<String, String> environment) {
    Optional<String> url = AddressParts.variable(environment, "DATABASE_URL");
    if (url.isPresent()) {
      return Optional.of(of(url.get(), environment));
    }
    if (AddressParts.variable(environment, "PGHOST").isEmpty()
        && AddressParts.variable(environment, "PGDATABASE").isEmpty()) {
      return Optional.empty();
    }
    return Optional.of(of("postgresql://", environment));
  }

  /** The servers, in the order in which they are tried; at least one. */
  public List<DatabaseHost> hosts() {
    return parts.hosts();
  }

  /** The database's name. */
  public String database() {
    return parts.database();
  }

  /** The login's name. */
  public String user() {
    return parts.user();
  }

  /** The password file that holds the password, if that is where it came from. */
  public Optional<Path> passwordFile() {
    return parts.passwordFile();
  }

  Optional<String> password() {
    return parts.password();
  }

  /** The same address with another name in {@code pg_stat_activity}. */
  public DatabaseAddress withApplicationName(String name) {
    return withProperty(PGProperty.APPLICATION_NAME, name);
  }

  /**
   * The same address with a limit to how long one answer of the server may take, so that a host
   * that vanished is noticed. It must be longer than the longest statement; zero means no limit.
   */
  public DatabaseAddress withSocketTimeout(Duration timeout) {
    if (timeout.isNegative()) {
      throw new InvalidAddressException("socket timeout", "must not be negative: " + timeout);
    }
    long seconds = timeout.plusMillis(999).toSeconds();
    return withProperty(PGProperty.SOCKET_TIMEOUT, Long.toString(seconds));
  }

  /** The same address, in whose sessions a statement waits no longer than this for a lock. */
  DatabaseAddress withLockTimeout(Duration timeout) {
    String given = parts.properties().getOrDefault(PGProperty.OPTIONS.getName(), "");
    String setting = "-c lock_timeout=" + timeout.toMillis();
    return withProperty(PGProperty.OPTIONS, (given + " " + setting).strip());
  }

  /** The same servers and settings, another database. */
  public DatabaseAddress withDatabase(String database) {
    return new DatabaseAddress(parts.withDatabase(database));
  }

  /** The same database and settings, another login. */
  public DatabaseAddress withLogin(String user, String password) {
    return new DatabaseAddress(parts.withLogin(user, password));
  }

  /** The same address, whose password {@code psql} finds in this file too. */
  DatabaseAddress withPasswordFile(Path file) {
    return new DatabaseAddress(parts.withPasswordFile(file));
  }

  private DatabaseAddress withProperty(PGProperty property, String value) {
    return new DatabaseAddress(parts.withProperty(property, value));
  }

  /** A source of new connections, each opened when asked for; it pools nothing. */
  public DataSource dataSource() {
    PGSimpleDataSource source = new PGSimpleDataSource();
    source.setServerNames(parts.hosts().stream().map(DatabaseHost::name).toArray(String[]::new));
    source.setPortNumbers(parts.hosts().stream().mapToInt(DatabaseHost::port).toArray());
    source.setDatabaseName(parts.database());
    source.setUser(parts.user());
    parts.password().ifPresent(source::setPassword);
    try {
      for (Map.Entry<String, String> property : parts.properties().entrySet()) {
        source.setProperty(property.getKey(), property.getValue());
      }
    } catch (SQLException e) {
      throw new InvalidAddressException("database url", String.valueOf(e.getMessage()));
    }
    return source;
  }

  /** The JDBC URL, without login and parameters. */
  public String jdbcUrl() {
    return "jdbc:postgresql://" + location();
  }

  /**
   * What to export so that {@code psql} reaches the same database as the same login. The password
   * is not among it; {@code PGPASSFILE} is, where a file holds the password.
   */
  public Map<String, String> psqlVariables() {
    Map<String, String> variables = new LinkedHashMap<>();
    variables.put("PGHOST", joined(host -> host.name()));
    variables.put("PGPORT", joined(host -> Integer.toString(host.port())));
    variables.put("PGDATABASE", parts.database());
    variables.put("PGUSER", parts.user());
    variables.putAll(DriverProperties.variables(parts.properties()));
    parts.passwordFile().ifPresent(file -> variables.put("PGPASSFILE", file.toString()));
    return variables;
  }

  private String joined(Function<DatabaseHost, String> part) {
    return parts.hosts().stream().map(part).collect(Collectors.joining(","));
  }

  private String location() {
    return joined(DatabaseHost::toString) + "/" + parts.database();
  }

  @Override
  public boolean equals(@Nullable Object other) {
    return other instanceof DatabaseAddress that && parts.equals(that.parts);
  }

  @Override
  public int hashCode() {
    return parts.hashCode();
  }

  /** The URL without password and parameters. */
  @Override
  public String toString() {
    return "postgresql://" + parts.user() + "@" + location();
  }
}
