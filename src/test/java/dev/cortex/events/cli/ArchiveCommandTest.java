package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.postgresql.ds.PGSimpleDataSource;

/** What {@code cortex archive} does and says. */
@ExtendWith(PostgresExtension.class)
class ArchiveCommandTest {
  private final TestDatabase database;
  @TempDir private Path directory;
  private TestCommandLine cortex;

  ArchiveCommandTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void an_event_that_is_too_old() throws SQLException {
    cortex = TestCommandLine.on(database);
    execute(
        "insert into cortex.event_types (type, kept_for) values ('too.old', '1 hour') on conflict do nothing");
    execute("delete from cortex.events");
    execute("delete from cortex.dedupe_keys");
    execute("drop table if exists cortex.events_2025_01");
    execute(
        "create table cortex.events_2025_01 (like cortex.events including defaults including constraints)");
    execute(
        "alter table cortex.events attach partition cortex.events_2025_01 for values from ('2025-01-01Z') to ('2025-02-01Z')");
    execute("alter table cortex.events_2025_01 owner to cortex_owner");
    execute(
        "insert into cortex.events (type, source, event_id, received_at) values ('too.old', 'w', 'evt_20250101_000000_a', '2025-01-02Z')");
  }

  private void execute(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private Answer archive(String... arguments) {
    String[] all = new String[arguments.length + 3];
    all[0] = "archive";
    System.arraycopy(arguments, 0, all, 1, arguments.length);
    all[arguments.length + 1] = "--directory";
    all[arguments.length + 2] = directory.toString();
    return cortex.run(all);
  }

  @Test
  void a_dry_run_counts_and_a_run_removes_as_many_into_a_file_that_is_listed_and_verified()
      throws Exception {
    Answer dry = archive("run", "--dry-run");
    assertThat(dry.status()).as(dry.err()).isZero();
    assertThat(dry.out()).startsWith("dry run, nothing was changed").containsPattern("events +1\n");
    Answer run = archive("run", "--json");
    assertThat(run.status()).as(run.err()).isZero();
    assertThat(new ObjectMapper().readTree(run.out()).at("/removed/events").intValue())
        .isEqualTo(1);
    assertThat(archive("list").out()).contains("events/too.old-").contains("too.old  ");
    assertThat(archive("verify").status()).isZero();

    Answer restored = cortex.run("import", directory.toString());
    assertThat(restored.out().lines())
        .startsWith("read         1", "accepted     1", "duplicate    0", "quarantined  0");
  }

  @Test
  void a_damaged_file_is_named_and_ends_with_65() throws Exception {
    archive("run");
    Path file;
    try (var files = Files.list(directory.resolve("events"))) {
      file = files.filter(path -> path.toString().endsWith(".gz")).findFirst().orElseThrow();
    }
    Files.write(file, new byte[] {1, 2, 3});
    Answer answer = archive("verify");
    assertThat(answer.status()).isEqualTo(65);
    assertThat(answer.out()).contains("must have").contains("bytes, has 3");
  }

  @Test
  void without_a_directory_the_setting_is_named_and_a_missing_one_is_empty() {
    Answer unset = cortex.run("archive", "run");
    assertThat(unset.status()).isEqualTo(78);
    assertThat(unset.err()).contains("archive_directory must be set");
    String none = directory.resolve("none").toString();
    for (String question : new String[] {"list", "verify"}) {
      Answer missing = cortex.run("archive", question, "--directory", none);
      assertThat(missing.status()).as(missing.err()).isZero();
      assertThat(missing.err()).contains("the archive is empty: " + none + " is not there");
    }
    assertThat(archive("list").err()).contains("the archive is empty: " + directory + " has no");
    assertThat(cortex.run("archive").status()).isEqualTo(64);
  }

  @Test
  void an_incomplete_run_says_what_is_left_and_ends_with_75() throws Exception {
    Files.createDirectory(directory.resolve("events"));
    Files.write(directory.resolve("events/x.jsonl.gz.manifest"), new byte[] {(byte) 0xff});

    Answer run = archive("run");

    assertThat(run.status()).isEqualTo(75);
    assertThat(run.err())
        .contains("incomplete, run it again: events/x.jsonl.gz: must have a manifest");
    assertThat(run.out()).containsPattern("events +1\n");
  }

  @Test
  void a_dry_run_needs_no_owner() throws Exception {
    DatabaseAddress auditor = database.address("cortex_auditor");
    TestCommandLine reader =
        TestCommandLine.at(
            auditor.jdbcUrl()
                + "?user="
                + auditor.user()
                + "&password="
                + auditor.dataSource().unwrap(PGSimpleDataSource.class).getPassword());

    Answer dry = reader.run("archive", "run", "--dry-run", "--directory", directory.toString());

    assertThat(dry.status()).as(dry.err()).isZero();
    assertThat(dry.out()).containsPattern("events +1\n");
  }
}
