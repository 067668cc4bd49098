package dev.cortex.events.database;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.postgresql.PGProperty;

/**
 * What a {@link DatabaseAddress} holds, and where each part of it comes from: the URL, else the PG*
 * variables, else a default.
 *
 * @param properties in the JDBC driver's names
 */
record AddressParts(
    List<DatabaseHost> hosts,
    String database,
    String user,
    Optional<String> password,
    Optional<Path> passwordFile,
    Map<String, String> properties) {
  private static final int DEFAULT_PORT = 5432;
  private static final int CONNECT_TIMEOUT_SECONDS = 10;
  private static final int CANCEL_TIMEOUT_SECONDS = 10;

  static AddressParts read(DatabaseUrl url, Map<String, String> environment) {
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
    return new AddressParts(
        hosts,
        database,
        user,
        given.or(() -> filed),
        filed.map(password -> file.path()),
        Map.copyOf(properties(url, environment, hosts)));
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
    Path root = ServerHome.userHome(environment).resolve(".postgresql").resolve("root.crt");
    if (Files.exists(root)) {
      properties.put(PGProperty.SSL_ROOT_CERT.getName(), root.toString());
    }
    properties.putAll(DriverProperties.of(url.parameters(), environment));
    if (systemTrust(properties)) {
      properties.remove(PGProperty.SSL_ROOT_CERT.getName());
      properties.put(PGProperty.SSL_FACTORY.getName(), DriverProperties.JAVA_TRUST);
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

  /** Whether Java's own trusted authorities are meant: libpq's word, or no file of the user. */
  private static boolean systemTrust(Map<String, String> properties) {
    @Nullable String root = properties.get(PGProperty.SSL_ROOT_CERT.getName());
    if (root != null) {
      return root.equals(DriverProperties.SYSTEM_TRUST);
    }
    return "verify-full".equals(properties.get(PGProperty.SSL_MODE.getName()))
        && !properties.containsKey(PGProperty.SSL_FACTORY.getName());
  }

  /** The value of a variable that is set to something. */
  static Optional<String> variable(Map<String, String> environment, String name) {
    return Optional.ofNullable(environment.get(name)).filter(value -> !value.isEmpty());
  }

  AddressParts withDatabase(String database) {
    return new AddressParts(hosts, database, user, password, passwordFile, properties);
  }

  AddressParts withLogin(String user, String password) {
    return new AddressParts(
        hosts, database, user, Optional.of(password), Optional.empty(), properties);
  }

  AddressParts withPasswordFile(Path file) {
    return new AddressParts(hosts, database, user, password, Optional.of(file), properties);
  }

  AddressParts withProperty(PGProperty property, String value) {
    Map<String, String> changed = new TreeMap<>(properties);
    changed.put(property.getName(), value);
    return new AddressParts(hosts, database, user, password, passwordFile, Map.copyOf(changed));
  }

  /** Without the password and the properties, which may hold secrets too. */
  @Override
  public String toString() {
    return "AddressParts[" + user + "@" + hosts + "/" + database + "]";
  }
}
