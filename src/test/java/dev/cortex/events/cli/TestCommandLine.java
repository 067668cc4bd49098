package dev.cortex.events.cli;

import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.TestDatabase;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The command line in this process, with its output kept, on a test database. */
final class TestCommandLine {
  /** Not the one of who runs the tests. */
  private static final String SPOOL = Path.of("target", "test-spool").toAbsolutePath().toString();

  private final Map<String, String> environment;

  /** What a command did. */
  record Answer(int status, String out, String err) {}

  private TestCommandLine(Map<String, String> environment) {
    this.environment = environment;
  }

  /** As a login that is a member of every role, as the embedded server's is. */
  static TestCommandLine on(TestDatabase database) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      // Roles are the server's: another test's database may hold something of this one.
      statement.execute(
          """
          do $$
          begin
            create role cli login password 'cli';
          exception
            when duplicate_object then null;
          end
          $$
          """);
      statement.execute(
          "grant cortex_owner, cortex_emitter, cortex_worker, cortex_auditor, cortex_operator to cli");
      // And of the one that migrated it.
      statement.execute("grant " + database.address().user() + " to cli");
    }
    return withLogin(database.address());
  }

  /** On another database of the same server, as the same login. */
  static TestCommandLine on(TestDatabase database, String name) {
    return withLogin(database.address().withDatabase(name));
  }

  private static TestCommandLine withLogin(DatabaseAddress address) {
    return at(address.withLogin("cli", "cli").jdbcUrl() + "?user=cli&password=cli");
  }

  static TestCommandLine at(String url) {
    return new TestCommandLine(Map.of("DATABASE_URL", url, "CORTEX_SPOOL_DIR", SPOOL));
  }

  /** With these variables too. */
  TestCommandLine with(Map<String, String> variables) {
    Map<String, String> all = new HashMap<>(environment);
    all.putAll(variables);
    return new TestCommandLine(Map.copyOf(all));
  }

  /** A command in a JVM of its own, on the same database; what it says is kept in this file. */
  Process start(Path output, String... arguments) throws IOException {
    return start(Map.of(), output, arguments);
  }

  Process start(Map<String, String> variables, Path output, String... arguments)
      throws IOException {
    return start("128m", variables, output, arguments);
  }

  /** The same, with as much memory as is given. */
  Process startWithHeap(String heap, Path output, String... arguments) throws IOException {
    return start(heap, Map.of(), output, arguments);
  }

  private Process start(
      String heap, Map<String, String> variables, Path output, String... arguments)
      throws IOException {
    ProcessBuilder builder =
        new ProcessBuilder(
                JavaProgram.command(
                    List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx" + heap),
                    arguments))
            .redirectErrorStream(true)
            .redirectOutput(output.toFile());
    builder.environment().putAll(environment);
    builder.environment().putAll(variables);
    return builder.start();
  }

  Answer run(String... arguments) {
    return run(InputStream.nullInputStream(), arguments);
  }

  Answer run(byte[] input, String... arguments) {
    return run(new ByteArrayInputStream(input), arguments);
  }

  Answer run(InputStream input, String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int status =
        Cortex.run(
            new Console(input, new PrintWriter(out), new PrintWriter(err), false, environment),
            arguments);
    return new Answer(status, out.toString(), err.toString());
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
