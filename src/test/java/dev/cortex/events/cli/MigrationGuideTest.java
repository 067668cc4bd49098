package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.documentation.Document;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * The commands of docs/migrating-from-daemons.md, as they stand there: those of its tables run, and
 * those of its blocks show what the document says that they show.
 */
@ExtendWith(PostgresExtension.class)
class MigrationGuideTest {
  private static final Document GUIDE = Document.of("docs/migrating-from-daemons.md");
  private static final Pattern QUESTION = Pattern.compile("psql -Atc \"([^\"]*)\"");
  private static final Pattern CHANGE = Pattern.compile("psql -qc \"([^\"]*)\"");
  private static final Pattern PAUSE = Pattern.compile("sleep (\\d+)");
  private static final Pattern WORD = Pattern.compile("'([^']*)'|\\S+");

  /** A command of a table; one with a word in capitals wants something of the reader's. */
  private static final Pattern COMMAND = Pattern.compile("`\\./cortex ([^`|A-Z]*)` \\|$");

  private final TestDatabase database;
  private final TestCommandLine cortex;

  MigrationGuideTest(TestDatabase database) throws SQLException {
    this.database = database;
    this.cortex = TestCommandLine.on(database);
  }

  @Test
  void what_the_blocks_ask_is_answered_as_they_say() throws Exception {
    handle();
    List<String> shown = new ArrayList<>();
    List<String> expected = new ArrayList<>();
    for (Document.Block block : GUIDE.blocks("sh")) {
      for (String line : block.text().lines().toList()) {
        if (line.startsWith("# ")) {
          expected.add(line);
        } else {
          expected.add("$ " + line);
          shown.add("$ " + line);
          shown.addAll(run(line));
        }
      }
    }
    assertThat(expected).filteredOn(line -> line.startsWith("# ")).isNotEmpty();
    assertThat(shown).isEqualTo(expected);
  }

  @Test
  void every_question_of_the_tables_runs() throws SQLException {
    Matcher question = QUESTION.matcher(GUIDE.text());
    int asked = 0;
    while (question.find()) {
      ask(question.group(1));
      asked++;
    }
    assertThat(asked).isGreaterThan(50);
  }

  @Test
  void every_command_of_the_tables_runs() {
    List<String> commands =
        GUIDE.lines().stream()
            .flatMap(line -> COMMAND.matcher(line).results().map(found -> found.group(1)))
            .toList();
    assertThat(commands).hasSizeGreaterThan(5);
    assertThat(commands)
        .allSatisfy(
            command -> {
              Answer answer = cortex.run(words(command));
              assertThat(answer.status()).as(answer.err()).isZero();
            });
  }

  private List<String> run(String line) throws SQLException, InterruptedException {
    Matcher change = CHANGE.matcher(line);
    if (change.matches()) {
      change(change.group(1));
      return List.of();
    }
    Matcher pause = PAUSE.matcher(line);
    if (pause.matches()) { // for what takes time to show, which the reader waits for too
      TimeUnit.SECONDS.sleep(Long.parseLong(pause.group(1)));
      return List.of();
    }
    Matcher question = QUESTION.matcher(line);
    if (question.matches()) {
      handle();
      return ask(question.group(1));
    }
    assertThat(line).startsWith("./cortex emit ");
    Answer answer = cortex.run(words(line.substring("./cortex ".length())));
    assertThat(answer.status()).as(answer.err()).isZero();
    return List.of();
  }

  private void change(String sql) throws SQLException {
    try (Connection connection = database.address("cortex_operator").dataSource().getConnection();
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

  private static String[] words(String command) {
    return WORD.matcher(command)
        .results()
        .map(word -> word.group(1) == null ? word.group() : word.group(1))
        .toArray(String[]::new);
  }
}
