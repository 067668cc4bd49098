package dev.cortex.events.cli;

import dev.cortex.events.database.TestDatabase;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;

/** The command line in this process, with its output kept, on a test database. */
final class TestCommandLine {
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
      statement.execute("drop role if exists cli");
      statement.execute(
          "create role cli login password 'cli' in role cortex_owner, cortex_emitter, cortex_worker, cortex_auditor, cortex_operator");
      // And of the one that migrated it.
      statement.execute("grant " + database.address().user() + " to cli");
    }
    return at(database.address().withLogin("cli", "cli").jdbcUrl() + "?user=cli&password=cli");
  }

  static TestCommandLine at(String url) {
    return new TestCommandLine(Map.of("DATABASE_URL", url));
  }

  Answer run(String... arguments) {
    return run(InputStream.nullInputStream(), arguments);
  }

  Answer run(byte[] input, String... arguments) {
    return run(new ByteArrayInputStream(input), arguments);
  }

  private Answer run(InputStream input, String... arguments) {
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
