package dev.cortex.events.cli;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.database.EmbeddedPostgres;
import dev.cortex.events.database.MigrationOptions;
import dev.cortex.events.database.Migrations;
import dev.cortex.events.database.RoleNames;
import dev.cortex.events.database.SchemaMismatchException;
import dev.cortex.events.database.SchemaVersion;
import dev.cortex.events.operate.Operations;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import javax.sql.DataSource;

/**
 * The database that a command works on, open. An embedded one is started or joined, and held until
 * this is closed; its schema is brought up to date without being asked, since nobody else looks
 * after it. On a given server only {@code cortex migrate} changes the schema.
 */
final class Installation implements AutoCloseable {
  private final Optional<EmbeddedPostgres> server;
  private final DatabaseAddress address;
  private final RoleNames roles;
  private final CortexEvents login;
  private final Deque<CortexEvents> opened = new ArrayDeque<>();

  private Installation(
      Optional<EmbeddedPostgres> server, DatabaseAddress address, RoleNames roles) {
    this.server = server;
    this.address = address;
    this.roles = roles;
    this.login = CortexEvents.connect(address).withTelemetry(Telemetry.silent());
  }

  /** Opened, and nothing asked of it yet. */
  static Installation reach(DatabaseChoice choice, RoleNames roles, Console console) {
    if (choice instanceof DatabaseChoice.Embedded embedded) {
      EmbeddedPostgres server = start(embedded, console);
      return new Installation(Optional.of(server), server.address(), roles);
    }
    return new Installation(Optional.empty(), ((DatabaseChoice.Given) choice).address(), roles);
  }

  private static EmbeddedPostgres start(DatabaseChoice.Embedded embedded, Console console) {
    var before = embedded.status();
    if (before.major().isEmpty()) {
      EmbeddedPostgres.requireFit(before.directory());
      console.remark("making a PostgreSQL server of its own in " + before.directory());
    }
    return embedded.open();
  }

  /** Refuses a database that cannot be reached or whose schema does not fit. */
  Installation ready() throws SQLException {
    try (Connection connection = address.dataSource().getConnection()) {
      require(connection);
    }
    return this;
  }

  private void require(Connection connection) throws SQLException {
    try {
      SchemaVersion.require(connection);
    } catch (SchemaMismatchException e) {
      if (server.isEmpty()) {
        throw e;
      }
      migrate();
      SchemaVersion.require(connection);
    } catch (SQLException e) {
      // An emitter may not read the settings. That there are any is enough.
      if (DatabaseFault.of(e).filter(DatabaseFault.ACCESS_DENIED::equals).isEmpty()) {
        throw e;
      }
    }
  }

  /** Brings an embedded server's schema up to date. */
  Installation migrated() {
    if (server.isPresent()) {
      migrate();
    }
    return this;
  }

  private void migrate() {
    Migrations.of(address, MigrationOptions.defaults().withRoles(roles)).migrate();
  }

  DatabaseAddress address() {
    return address;
  }

  Optional<EmbeddedPostgres> server() {
    return server;
  }

  /** The front door, in this role. */
  CortexEvents as(Role role) {
    CortexEvents inRole = login.as(role.in(roles));
    opened.push(inRole);
    return inRole;
  }

  /** One connection at a time, in this role. */
  DataSource connection(Role role) {
    return as(role).connections(1);
  }

  /** What operators see and do, in this role. */
  Operations operations(Role role) {
    return Operations.on(connection(role));
  }

  /** The database's time, since only it dates what is received. */
  static Instant now(DataSource source) throws SQLException {
    try (Connection connection = source.getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select clock_timestamp()")) {
      row.next();
      return row.getObject(1, OffsetDateTime.class).toInstant();
    }
  }

  @Override
  public void close() {
    opened.forEach(CortexEvents::close);
    server.ifPresent(EmbeddedPostgres::close);
  }
}
