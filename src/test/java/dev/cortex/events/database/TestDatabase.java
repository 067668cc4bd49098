package dev.cortex.events.database;

import java.sql.Connection;
import java.sql.SQLException;
import javax.sql.DataSource;

/**
 * A migrated database of one test class, dropped after it. Declare it as a parameter of a test, a
 * life cycle method or the constructor of a class with {@link PostgresExtension}.
 */
public final class TestDatabase implements AutoCloseable {
  private final TestServer server;
  private final String name;

  TestDatabase(TestServer server, String name) {
    this.server = server;
    this.name = name;
  }

  /** As the login that migrated it and owns it: no superuser. */
  public DatabaseAddress address() {
    return server.address(name);
  }

  /** As a login whose only right is membership of this role, such as {@code cortex_emitter}. */
  public DatabaseAddress address(String role) {
    return server.address(name, role);
  }

  /** As the superuser: for looking at what no role may see, never for what a product does. */
  public DatabaseAddress superuserAddress() {
    return server.superuser(name);
  }

  /** New connections as the owner. */
  public DataSource dataSource() {
    return address().dataSource();
  }

  /** A new connection as the owner. */
  public Connection connection() throws SQLException {
    return dataSource().getConnection();
  }

  /** Another migrated database of the same server, to be closed by the caller. */
  public TestDatabase sibling() throws SQLException {
    return server.newDatabase();
  }

  /** A database of the same owner that nothing was migrated in, to be closed by the caller. */
  TestDatabase emptySibling() throws SQLException {
    return server.newEmptyDatabase();
  }

  @Override
  public void close() throws SQLException {
    server.drop(name);
  }
}
