package dev.cortex.events.database;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
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
  private static final int DEFAULT_PORT = 5432;
  private static final int CONNECT_TIMEOUT_SECONDS = 10;
  private static final int CANCEL_TIMEOUT_SECONDS = 10;

  /** All that an address holds, so that two addresses compare by value. */
  private record Parts(
      List<DatabaseHost> hosts,
      String database,
      String user,
      Optional<String> password,
      Optional<Path> passwordFile,
      Map<String, String> properties) {}

  private final Parts parts;

  private DatabaseAddress(Parts parts) {
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
    return of(DatabaseUrl.parse(url), environment);
  }

  /**
   * The address that {@code DATABASE_URL} describes, else the PG* variables if they name a host or
   * a database, else none.
   *
   * @throws InvalidAddressException if a variable breaks a rule
   */
  public static Optional<DatabaseAddress> fromEnvironment(Map<String, String> environment) {
    Optional<String> url = variable(environment, "DATABASE_URL");
    if (url.isPresent()) {
      return Optional.of(of(url.get(), environment));
    }
    if (variable(environment, "PGHOST").or(() -> variable(environment, "PGDATABASE")).isEmpty()) {
      return Optional.empty();
    }
    return Optional.of(of("postgresql://", environment));
  }

  private static DatabaseAddress of(DatabaseUrl url, Map<String, String> environment) {
    List<DatabaseHost> hosts = hosts(url, environment);
    String user =
        url.user()
            .or(() -> variable(environment, "PGUSER"))
            .orElseGet(() -> System.getProperty("user.name", "postgres"));
    String database = url.database().or(() -> variable(environment, "PGDATABASE")).orElse(user);
    PasswordFile file = PasswordFile.fromEnvironment(environment);
    Optional<String> given = url.password().or(() -> variable(environment, "PGPASSWORD"));
    Optional<String> filed =
        given.isPresent() ? Optional.empty() : file.password(hosts.get(0), database, user);
    return new DatabaseAddress(
        new Parts(
            hosts,
            database,
            user,
            given.or(() -> filed),
            filed.map(password -> file.path()),
            Map.copyOf(properties(url, environment, hosts))));
  }

  private static List<DatabaseHost> hosts(DatabaseUrl url, Map<String, String> environment) {
    List<DatabaseUrl.Endpoint> endpoints =
        url.endpoints().isEmpty()
            ? DatabaseUrl.endpoints(variable(environment, "PGHOST").orElse("localhost"))
            : url.endpoints();
    String port = variable(environment, "PGPORT").orElse(Integer.toString(DEFAULT_PORT));
    List<DatabaseHost> hosts = new ArrayList<>();
    for (DatabaseUrl.Endpoint endpoint : endpoints) {
      hosts.add(DatabaseHost.of(endpoint.name(), endpoint.port().orElse(port)));
    }
    return List.copyOf(hosts);
  }

  private static Map<String, String> properties(
      DatabaseUrl url, Map<String, String> environment, List<DatabaseHost> hosts) {
    Map<String, String> properties = new TreeMap<>(defaults(hosts));
    properties.putAll(DriverProperties.of(url.parameters(), environment));
    if (systemTrust(properties)) {
      properties.remove(PGProperty.SSL_ROOT_CERT.getName());
      properties.put(PGProperty.SSL_FACTORY.getName(), "org.postgresql.ssl.DefaultJavaSSLFactory");
    }
    return properties;
  }

  private static Map<String, String> defaults(List<DatabaseHost> hosts) {
    Map<String, String> properties = new TreeMap<>();
    properties.put(PGProperty.APPLICATION_NAME.getName(), "cortex-events");
    properties.put(PGProperty.CONNECT_TIMEOUT.getName(), Integer.toString(CONNECT_TIMEOUT_SECONDS));
    properties.put(
        PGProperty.CANCEL_SIGNAL_TIMEOUT.getName(), Integer.toString(CANCEL_TIMEOUT_SECONDS));
    properties.put(PGProperty.TCP_KEEP_ALIVE.getName(), "true");
    properties.put(PGProperty.REWRITE_BATCHED_INSERTS.getName(), "true");
    properties.put(PGProperty.PREPARE_THRESHOLD.getName(), "1");
    properties.put(PGProperty.TARGET_SERVER_TYPE.getName(), "primary");
    // The detail of a refused row is the row itself, and a payload must not reach a log.
    properties.put(PGProperty.LOG_SERVER_ERROR_DETAIL.getName(), "false");
    properties.put(
        PGProperty.SSL_MODE.getName(),
        hosts.stream().allMatch(DatabaseHost::isLoopback) ? "prefer" : "verify-full");
    return properties;
  }

  /** Whether Java's own trusted authorities are meant: libpq's word, or no file of ours. */
  private static boolean systemTrust(Map<String, String> properties) {
    @Nullable String root = properties.get(PGProperty.SSL_ROOT_CERT.getName());
    if (root != null) {
      return root.equals("system");
    }
    return "verify-full".equals(properties.get(PGProperty.SSL_MODE.getName()))
        && !properties.containsKey(PGProperty.SSL_FACTORY.getName())
        && !Files.exists(Path.of(System.getProperty("user.home", ""), ".postgresql", "root.crt"));
  }

  private static Optional<String> variable(Map<String, String> environment, String name) {
    return Optional.ofNullable(environment.get(name)).filter(value -> !value.isEmpty());
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
    return new DatabaseAddress(
        new Parts(
            parts.hosts(),
            database,
            parts.user(),
            parts.password(),
            parts.passwordFile(),
            parts.properties()));
  }

  /** The same database and settings, another login. */
  public DatabaseAddress withLogin(String user, String password) {
    return new DatabaseAddress(
        new Parts(
            parts.hosts(),
            parts.database(),
            user,
            Optional.of(password),
            Optional.empty(),
            parts.properties()));
  }

  /** The same address, whose password {@code psql} finds in this file too. */
  DatabaseAddress withPasswordFile(Path file) {
    return new DatabaseAddress(
        new Parts(
            parts.hosts(),
            parts.database(),
            parts.user(),
            parts.password(),
            Optional.of(file),
            parts.properties()));
  }

  private DatabaseAddress withProperty(PGProperty property, String value) {
    Map<String, String> properties = new TreeMap<>(parts.properties());
    properties.put(property.getName(), value);
    return new DatabaseAddress(
        new Parts(
            parts.hosts(),
            parts.database(),
            parts.user(),
            parts.password(),
            parts.passwordFile(),
            Map.copyOf(properties)));
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
    @Nullable String sslMode = parts.properties().get(PGProperty.SSL_MODE.getName());
    if (sslMode != null) {
      variables.put("PGSSLMODE", sslMode);
    }
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
