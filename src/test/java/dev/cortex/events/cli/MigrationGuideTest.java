package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.documentation.Document;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.assertj.core.api.SoftAssertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * The commands of docs/migrating-from-daemons.md, as they stand there: those of its blocks show
 * what the document says that they show, and then each row of its tables shows something.
 */
@ExtendWith(PostgresExtension.class)
class MigrationGuideTest {
  private static final Document GUIDE = Document.of("docs/migrating-from-daemons.md");
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final Path HOME = Path.of(System.getProperty("project.basedir", "."));
  private static final Pattern QUESTION = Pattern.compile("psql -Atc \"([^\"]*)\"");
  private static final Pattern CHANGE = Pattern.compile("psql -qc \"([^\"]*)\"");
  private static final Pattern PAUSE = Pattern.compile("sleep (\\d+)");
  private static final Pattern COMMAND = Pattern.compile("\\./cortex (.*)");
  private static final Pattern WORD = Pattern.compile("'([^']*)'|\\S+");

  /** In the last column. */
  private static final Pattern TABLE_QUESTION =
      Pattern.compile("\\| `psql -Atc \"([^\"]*)\"`[^|]*\\|$");

  private static final Pattern TABLE_COMMAND = Pattern.compile("\\| `\\./cortex ([^`]*)`[^|]*\\|$");

  private final TestDatabase database;
  private final Path directory;
  private final TestCommandLine cortex;

  MigrationGuideTest(TestDatabase database, @TempDir Path directory) throws Exception {
    this.database = database;
    this.directory = directory;
    this.cortex = TestCommandLine.on(database);
    Files.createSymbolicLink(directory.resolve("ops"), HOME.resolve("ops").toAbsolutePath());
  }

  @Test
  void what_the_page_asks_is_answered_as_it_says() throws Exception {
    handle();
    for (Document.Block block : GUIDE.blocks("sh")) {
      if (!block.text().contains("ops/shell/") || hasShellTools()) {
        assertShows(block.text().lines().toList());
      }
    }
    makeFiguresOfTwoHours();
    Process worker = cortex.start(directory.resolve("worker.log"), "worker");
    try {
      await()
          .atMost(PATIENCE)
          .until(() -> ask("select name from cortex.workers where stopped_at is null").size() == 1);
      assertTablesShow();
    } finally {
      worker.destroyForcibly().waitFor();
    }
  }

  private void assertShows(List<String> block) throws Exception {
    List<String> shown = new ArrayList<>();
    for (int i = 0; i < block.size(); i++) {
      String line = block.get(i);
      if (!line.startsWith("# ")) {
        shown.add(line);
        List<String> answer = run(line);
        if (i + 1 < block.size() && block.get(i + 1).startsWith("# ")) {
          shown.addAll(answer);
        }
      }
    }
    assertThat(shown).isEqualTo(block);
  }

  private void assertTablesShow() {
    SoftAssertions rows = new SoftAssertions();
    for (String row : GUIDE.lines()) {
      Matcher question = TABLE_QUESTION.matcher(row);
      if (question.find()) {
        rows.assertThatCode(() -> assertThat(ask(question.group(1))).isNotEmpty())
            .as(row)
            .doesNotThrowAnyException();
      }
      Matcher command = TABLE_COMMAND.matcher(row);
      if (command.find()) {
        Answer answer = cortex.run(words(command.group(1)));
        rows.assertThat(answer.status()).as(row + answer.err()).isZero();
        rows.assertThat(answer.out()).as(row).isNotBlank();
      }
    }
    rows.assertAll();
  }

  /** Lines of what it prints, behind the document's mark. */
  private List<String> run(String line) throws Exception {
    Matcher question = QUESTION.matcher(line);
    Matcher change = CHANGE.matcher(line);
    Matcher pause = PAUSE.matcher(line);
    Matcher command = COMMAND.matcher(line);
    if (question.matches()) {
      handle();
      return ask(question.group(1));
    } else if (change.matches()) {
      change(change.group(1));
      return List.of();
    } else if (pause.matches()) { // for what takes time to show, which the reader waits for too
      TimeUnit.SECONDS.sleep(Long.parseLong(pause.group(1)));
      return List.of();
    } else if (command.matches()) {
      Answer answer = cortex.run(words(command.group(1)));
      assertThat(answer.status()).as(line + answer.err()).isZero();
      return marked(answer.out());
    }
    return bash(line);
  }

  private List<String> bash(String line) throws IOException, InterruptedException {
    ProcessBuilder builder =
        new ProcessBuilder("bash", "-c", line)
            .directory(directory.toFile())
            .redirectErrorStream(true);
    String jdbcUrl = database.address().jdbcUrl();
    builder
        .environment()
        .put(
            "DATABASE_URL", "postgresql://cli:cli@" + jdbcUrl.substring(jdbcUrl.indexOf("//") + 2));
    builder.environment().put("CORTEX_SPOOL_DIR", directory.resolve("spool").toString());
    Process process = builder.start();
    String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    process.waitFor();
    return marked(printed);
  }

  private static List<String> marked(String printed) {
    return printed.lines().map(line -> "# " + line).toList();
  }

  private static boolean hasShellTools() {
    return Stream.of("bash", "jq", "psql")
        .allMatch(
            program ->
                Stream.of(System.getenv("PATH").split(":"))
                    .anyMatch(path -> Files.isExecutable(Path.of(path, program))));
  }

  /** As a fleet does; what happened in less is judged by no anomaly detector. */
  private void makeFiguresOfTwoHours() throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(
          """
          insert into fleet.metrics (minute, type, events, timed, total_duration_ms, max_duration_ms)
          select date_bin('5 minutes', clock_timestamp(), '2000-01-01') - interval '5 minutes' * i, 'task.created', 100, 0, 0, 0
            from generate_series(1, 26) i
          """);
    }
  }

  private void change(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private void handle() {
    Answer answer = cortex.run("worker", "--drain");
    assertThat(answer.status()).as(answer.err()).isZero();
  }

  /** As psql -At prints rows, behind the document's mark. */
  private List<String> ask(String sql) throws SQLException {
    List<String> lines = new ArrayList<>();
    try (Connection connection = database.address("cortex_auditor").dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      List<Integer> columns =
          IntStream.rangeClosed(1, row.getMetaData().getColumnCount()).boxed().toList();
      while (row.next()) {
        List<String> values = new ArrayList<>();
        for (int column : columns) {
          values.add(row.getString(column));
        }
        lines.add("# " + values.stream().collect(Collectors.joining("|")));
      }
    }
    return lines;
  }

  /** Those of a command, with the reader's directory for the document's. */
  private String[] words(String command) {
    return WORD.matcher(command)
        .results()
        .map(word -> word.group(1) == null ? word.group() : word.group(1))
        .map(word -> word.equals("old") ? directory.resolve(word).toString() : word)
        .toArray(String[]::new);
  }
}
