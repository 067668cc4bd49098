package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.cortex.events.bench.Benchmark;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex bench}, with as few events as it takes: what it counts, never how fast it is. */
@ExtendWith(PostgresExtension.class)
class BenchCommandTest {
  private static final List<String> TINY =
      List.of("--events=200", "--rounds=1", "--seconds=2", "--backlog=300", "--history=500");

  private final TestDatabase database;
  @TempDir private Path directory;
  private TestCommandLine cortex;

  BenchCommandTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void connect() throws SQLException {
    // Each run wants a database without events, and makes a schema of its own; peers make theirs.
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(
          """
          do $$ begin
            if exists (select from pg_roles where rolname = 'cli') then
              execute 'drop owned by cli cascade';
            end if;
          end $$
          """);
    }
    cortex = TestCommandLine.on(database);
    execute("truncate cortex.events, cortex.deliveries");
    execute("delete from cortex.subscriptions where pattern like 'bench.%'");
    execute("delete from cortex.event_types where type like 'bench.%'");
  }

  private Answer bench(String... arguments) {
    List<String> all = new ArrayList<>(List.of("bench", "--database-url", url()));
    all.addAll(TINY);
    all.addAll(List.of(arguments));
    return cortex.run(all.toArray(String[]::new));
  }

  private String url() {
    return database.address().withLogin("cli", "cli").jdbcUrl() + "?user=cli&password=cli";
  }

  @Test
  void every_workload_runs_and_leaves_nothing_undone() throws Exception {
    Path json = directory.resolve("bench.json");
    Path picture = directory.resolve("bench.svg");
    Answer answer = bench("--json", json.toString(), "--picture", picture.toString());

    assertThat(answer.status()).as(answer.err()).isZero();
    JsonNode result = new JsonMapper().readTree(json.toFile());
    Set<String> measured = new HashSet<>();
    for (JsonNode figure : result.path("figures")) {
      measured.add(figure.path("workload").asText());
      assertThat(figure.path("value").isNumber()).as("%s", figure).isTrue();
    }
    assertThat(measured).containsExactlyInAnyOrderElementsOf(Benchmark.workloads());
    assertThat(answer.out()).contains("WORKLOAD", "hot rows: attempts burnt", "REACHED");
    assertThat(result.path("conditions").path("events").asText()).isEqualTo("200");
    assertThat(result.path("series")).hasSize(2);
    assertThat(Files.readString(picture)).contains("cortex, snapshot held");

    assertThat(count("select count(*) from cortex.deliveries")).isZero();
    assertThat(count("select count(*) from cortex.attempts where outcome <> 'done'")).isZero();
    assertThat(count("select count(*) from cortex.attempts")).isGreaterThan(2_000);
  }

  @Test
  void only_the_workloads_that_were_asked_for_run() throws Exception {
    Path json = directory.resolve("bench.json");
    Answer answer = bench("--only=drain-insert", "--json", json.toString());
    assertThat(answer.status()).as(answer.err()).isZero();
    JsonNode figures = new JsonMapper().readTree(json.toFile()).path("figures");
    assertThat(figures).hasSize(2);
    for (JsonNode figure : figures) {
      assertThat(figure.path("workload").asText()).isEqualTo("drain-insert");
      assertThat(figure.path("wal_bytes").asDouble()).isPositive();
    }
    assertThat(count("select count(distinct event_id) from cortex_bench.effects")).isEqualTo(200);
  }

  @Test
  void peers_do_the_same_work_beside_us() throws Exception {
    assumeTrue(
        Files.isDirectory(Path.of("bench/node_modules"))
            && Files.isDirectory(Path.of("bench/target/lib")),
        "the peers are not made ready: run bench/peers");
    Path json = directory.resolve("bench.json");
    Answer answer = bench("--peers", "--only=drain-insert", "--json", json.toString());
    assertThat(answer.status()).as(answer.err()).isZero();
    List<String> contenders = new ArrayList<>();
    new JsonMapper()
        .readTree(json.toFile())
        .path("figures")
        .forEach(figure -> contenders.add(figure.path("contender").asText()));
    assertThat(contenders)
        .containsExactly(
            "floor", "cortex", "db-scheduler", "gruelbox", "graphile-worker", "pg-boss");
    assertThat(count("select count(distinct event_id) from cortex_bench.effects")).isEqualTo(200);
  }

  @Test
  void a_workload_that_there_is_not_is_refused_with_those_that_there_are() {
    Answer answer = bench("--only=drain-everything");
    assertThat(answer.status()).isEqualTo(64);
    assertThat(answer.err()).contains("drain-everything", "drain-noop");
  }

  @Test
  void a_database_with_events_is_refused() throws Exception {
    assertThat(cortex.run("bench", "--database-url", url(), "--events=10").status()).isEqualTo(64);
    execute(
        "insert into cortex.event_types (type, description) values ('bench.used', 'Of a test.')");
    execute("insert into cortex.events (type, source) values ('bench.used', 'test')");
    Answer answer = bench("--only=idle");
    assertThat(answer.status()).isEqualTo(64);
    assertThat(answer.err()).contains("must hold no events");
  }

  private void execute(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private long count(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }
}
