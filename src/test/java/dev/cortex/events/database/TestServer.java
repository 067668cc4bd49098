package dev.cortex.events.database;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.HexFormat;
import java.util.concurrent.atomic.AtomicInteger;
import org.testcontainers.postgresql.PostgreSQLContainer;

/**
 * The server that the test classes of one JVM share: the one that CORTEX_TEST_DATABASE_URL names,
 * else one in Docker, else an embedded one. Holds a database that was migrated once, which every
 * test class gets a copy of.
 */
final class TestServer implements AutoCloseable {
  /** Makes the roles and owns the databases; a login like an installation's, not a superuser. */
  private static final String OWNER_LOGIN = "cortex_test";

  /** Serialises what concerns the whole server between test runs that share it. Any constant. */
  private static final long SERVER_WIDE = 0x636f72746578L;

  private final DatabaseAddress admin;
  private final Runnable stop;
  private final String prefix = "cortex_test_" + ProcessHandle.current().pid() + "_";
  private final String template = prefix + "template";
  private final AtomicInteger databases = new AtomicInteger();

  private TestServer(DatabaseAddress admin, Runnable stop) {
    this.admin = admin;
    this.stop = stop;
  }

  static TestServer start() throws SQLException {
    String url = System.getenv("CORTEX_TEST_DATABASE_URL");
    TestServer started = url != null && !url.isEmpty() ? given(url) : ours();
    started.makeTemplate();
    return started;
  }

  private static TestServer given(String url) {
    return new TestServer(DatabaseAddress.of(url), () -> {});
  }

  private static TestServer ours() {
    if (dockerSocketExists()) {
      try {
        return inDocker();
      } catch (RuntimeException e) {
        System.err.println("no PostgreSQL in Docker, taking the embedded one: " + e.getMessage());
      }
    }
    return embedded();
  }

  private static TestServer embedded() {
    LaunchIdentity identity = LaunchIdentity.detect();
    PostgresPrograms programs = PostgresPrograms.unpacked(System.getenv(), identity);
    // A directory that another user can enter, where root has to run the server as one.
    Path parent =
        identity.user().isPresent()
            ? Path.of(System.getProperty("java.io.tmpdir"))
            : Path.of(System.getProperty("project.basedir", "."), "target");
    String name = "test-postgres-" + programs.major() + "-" + System.getProperty("test.fork", "1");
    return over(EmbeddedPostgres.open(parent.resolve(name)));
  }

  private static TestServer over(EmbeddedPostgres server) {
    return new TestServer(superuser(server), server::close);
  }

  /** A server of its own, for tests that crash it. */
  static TestServer dedicated(EmbeddedPostgres server) throws SQLException {
    TestServer started = over(server);
    started.makeTemplate();
    return started;
  }

  private static DatabaseAddress superuser(EmbeddedPostgres server) {
    try {
      String password =
          Files.readString(ServerHome.of(server.directory()).superuserPassword()).strip();
      return server.address().withDatabase("postgres").withLogin("postgres", password);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Looked at first: asking Testcontainers where there is no Docker takes a second and is loud. */
  private static boolean dockerSocketExists() {
    String home = System.getProperty("user.home");
    String runtime = System.getenv("XDG_RUNTIME_DIR");
    return System.getenv("DOCKER_HOST") != null
        || System.getenv("TESTCONTAINERS_HOST_OVERRIDE") != null
        || Files.exists(Path.of("/var/run/docker.sock"))
        || Files.exists(Path.of(home, ".docker/run/docker.sock"))
        || Files.exists(Path.of(home, ".docker/desktop/docker.sock"))
        || (runtime != null && Files.exists(Path.of(runtime, "docker.sock")));
  }

  private static TestServer inDocker() {
    String version = System.getenv().getOrDefault("CORTEX_TEST_PG", "18");
    PostgreSQLContainer container = new PostgreSQLContainer("postgres:" + version);
    container.start();
    DatabaseAddress admin =
        DatabaseAddress.of(
                "postgresql://"
                    + container.getHost()
                    + ":"
                    + container.getMappedPort(PostgreSQLContainer.POSTGRESQL_PORT)
                    + "/postgres?sslmode=disable")
            .withLogin(container.getUsername(), container.getPassword());
    return new TestServer(admin, container::stop);
  }

  private void makeTemplate() throws SQLException {
    try (Connection connection = admin.dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute("select pg_advisory_lock(" + SERVER_WIDE + ")");
      makeLogin(statement, OWNER_LOGIN, "createrole");
      statement.execute("drop database if exists " + template + " with (force)");
      statement.execute("create database " + template + " owner " + OWNER_LOGIN);
      Migrations.of(ownerOf(template), MigrationOptions.defaults()).migrate();
      for (String role : RoleNames.defaults().members()) {
        makeMember(statement, role);
      }
    }
  }

  private void makeLogin(Statement statement, String login, String attributes) throws SQLException {
    if (!exists(statement.getConnection(), login)) {
      statement.execute(
          "create role %s login nosuperuser %s password '%s'"
              .formatted(login, attributes, password(login)));
    }
  }

  /** By the owner, who has made the role and may give it away. */
  private void makeMember(Statement statement, String role) throws SQLException {
    if (exists(statement.getConnection(), role)) {
      makeLogin(statement, loginOf(role), "");
      try (Connection connection = ownerOf(template).dataSource().getConnection();
          Statement grant = connection.createStatement()) {
        grant.execute("grant " + role + " to " + loginOf(role));
      }
    }
  }

  private static boolean exists(Connection connection, String role) throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement("select from pg_roles where rolname = ?")) {
      statement.setString(1, role);
      try (ResultSet row = statement.executeQuery()) {
        return row.next();
      }
    }
  }

  private static String loginOf(String role) {
    return role + "_login";
  }

  /** The same in every run on one server, and unknown to who does not know the administrator's. */
  private String password(String login) {
    try {
      byte[] digest =
          MessageDigest.getInstance("SHA-256")
              .digest((admin.password().orElse("") + login).getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(digest);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }

  private DatabaseAddress ownerOf(String database) {
    return login(OWNER_LOGIN).withDatabase(database);
  }

  private DatabaseAddress login(String login) {
    return admin.withLogin(login, password(login));
  }

  /** A fresh copy of the migrated database. */
  TestDatabase newDatabase() throws SQLException {
    return newDatabase(template);
  }

  TestDatabase newEmptyDatabase() throws SQLException {
    return newDatabase("template1");
  }

  private TestDatabase newDatabase(String template) throws SQLException {
    String name = prefix + databases.incrementAndGet();
    execute("create database %s template %s owner %s".formatted(name, template, OWNER_LOGIN));
    return new TestDatabase(this, name);
  }

  DatabaseAddress address(String database) {
    return ownerOf(database);
  }

  DatabaseAddress address(String database, String role) {
    return login(loginOf(role)).withDatabase(database);
  }

  DatabaseAddress superuser(String database) {
    return admin.withDatabase(database);
  }

  void drop(String database) throws SQLException {
    execute("drop database if exists " + database + " with (force)");
  }

  private void execute(String sql) throws SQLException {
    try (Connection connection = admin.dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  @Override
  public void close() throws SQLException {
    try {
      drop(template);
    } finally {
      stop.run();
    }
  }
}
