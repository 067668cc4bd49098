package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.spool.Spool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex daemon}: real supervisors, real programs, real kills. */
@ExtendWith(PostgresExtension.class)
class DaemonCommandTest {
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final Pattern PID = Pattern.compile("process (\\d+)");
  private static final String FOR_EVER = "#!/bin/sh\nsleep 600 &\necho \"$!\" >&2\nwait\n";

  private static final long LAST_WORDS_NANOS = TimeUnit.SECONDS.toNanos(5);

  private final TestDatabase database;
  private final Path directory;
  private final List<Process> processes = new ArrayList<>();
  private final List<String> daemons = new ArrayList<>();
  private TestCommandLine cortex;

  DaemonCommandTest(TestDatabase database, @TempDir Path directory) throws IOException {
    this.database = database;
    this.directory = directory.toRealPath();
  }

  @BeforeEach
  void an_empty_host() throws SQLException {
    run("set session_replication_role = replica; truncate cortex.events, cortex.deliveries");
    cortex = on(TestCommandLine.on(database));
  }

  @AfterEach
  void nothing_outlives_the_test() throws InterruptedException, SQLException {
    for (String daemon : daemons) {
      cortex.run("daemon", "stop", daemon);
      awaitLastWords(daemon);
    }
    for (Process process : processes) {
      process.destroyForcibly().waitFor();
    }
  }

  @Test
  void a_process_is_started_seen_and_stopped_with_all_that_it_has_started() throws Exception {
    lay(
        "pm",
        "#!/bin/sh\nsleep 600 &\necho \"child $!\"\necho \"got $1 and $2\"\nenv\nwait\n",
        "argument.1 = one\nargument.2 = two words\nenvironment = ALLOWED");
    cortex = cortex.with(Map.of("ALLOWED", "yes", "SECRET", "no"));

    Answer started = cortex.run("daemon", "start", "pm");

    assertThat(started.status()).as(started.err()).isZero();
    long pid = pidIn(started.out());
    assertThat(cortex.run("daemon", "status", "pm").out()).contains("running").contains("" + pid);
    assertThat(cortex.run("daemon", "status", "pm").status()).isZero();
    assertThat(cortex.run("daemon", "start", "pm").out()).contains("runs already, process " + pid);
    String output = Files.readString(output("pm"));
    assertThat(output)
        .contains("got one and two words")
        .contains("ALLOWED=yes")
        .contains("CORTEX_DAEMON=pm")
        .contains("CORTEX_SPOOL_DIR=" + directory.resolve("spool"))
        .doesNotContain("SECRET")
        .doesNotContain("DATABASE_URL");
    Matcher child = Pattern.compile("child (\\d+)").matcher(output);
    assertThat(child.find()).isTrue();
    assertThat(isAlive(Long.parseLong(child.group(1)))).isTrue();

    Answer stopped = cortex.run("daemon", "stop", "pm");

    assertThat(stopped.status()).as(stopped.err()).isZero();
    assertThat(isAlive(pid)).isFalse();
    assertThat(isAlive(Long.parseLong(child.group(1)))).isFalse();
    assertThat(cortex.run("daemon", "status", "pm").status()).isOne();
    assertThat(life("pm", 3))
        .containsExactly(
            "requested cortex daemon start, no reason given",
            "started " + pid,
            "stopped " + pid + " asked to stop");
    assertThat(rows("select count(*)::text from fleet.daemon_life where host is null"))
        .containsExactly("0");
    assertThat(
            rows(
                "select count(distinct coalesce(correlation_id, event_id))::text from fleet.daemon_life"))
        .as("the request ties them together")
        .containsExactly("1");
    assertThat(cortex.run("daemon", "stop", "pm").out()).contains("does not run");
  }

  @Test
  void one_that_does_not_heed_sigterm_is_killed_after_its_time() throws Exception {
    lay("pm", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", "stop_seconds = 1");
    long pid = pidIn(cortex.run("daemon", "start", "pm").out());

    assertThat(cortex.run("daemon", "stop", "pm").status()).isZero();

    assertThat(isAlive(pid)).isFalse();
  }

  @Test
  void one_that_fails_is_started_again_later_and_later_and_given_up_at_the_limit()
      throws Exception {
    lay("pm", "#!/bin/sh\necho trouble\nexit 3\n", "restart_limit = 2");
    Process supervisor = cortex.start(directory.resolve("log"), "daemon", "run", "pm");
    processes.add(supervisor);

    assertThat(supervisor.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();

    assertThat(supervisor.exitValue()).isOne();
    assertThat(life("pm", 6).stream().map(fact -> fact.replaceAll("\\d{2,}", "N")))
        .containsExactly(
            "started N",
            "stopped N exit status 3, again in 1 s",
            "started N",
            "stopped N exit status 3, again in 2 s",
            "started N",
            "stopped N exit status 3, given up after 2 restarts in a row");
    assertThat(cortex.run("daemon", "status", "pm").out())
        .contains("failed")
        .contains("given up after 2 restarts in a row");
    assertThat(Files.readString(output("pm"))).isEqualTo("trouble\n".repeat(3));
  }

  @Test
  void starting_one_that_does_not_stay_up_says_so() throws Exception {
    lay("pm", "#!/bin/sh\nexit 3\n", "restart = never");

    Answer answer = cortex.run("daemon", "start", "pm");

    assertThat(answer.status()).isOne();
    assertThat(answer.err()).contains("pm does not stay up: exit status 3; its output is in ");
  }

  @Test
  void a_program_that_is_killed_is_started_again() throws Exception {
    lay("pm", FOR_EVER, "");
    long pid = pidIn(cortex.run("daemon", "start", "pm").out());

    ProcessHandle.of(pid).orElseThrow().destroyForcibly();

    await()
        .atMost(PATIENCE)
        .until(
            () -> {
              Answer status = cortex.run("daemon", "status", "pm");
              return status.status() == 0 && !status.out().contains("" + pid);
            });
    assertThat(life("pm", 4)).contains("stopped " + pid + " exit status 137, again in 1 s");
  }

  @Test
  void what_a_killed_supervisor_leaves_behind_is_seen_and_ended_before_the_next_start()
      throws Exception {
    lay("pm", FOR_EVER, "");
    long orphan = pidIn(cortex.run("daemon", "start", "pm").out());
    killSupervisor("pm");
    assertThat(isAlive(orphan)).isTrue();
    Answer status = cortex.run("daemon", "status", "pm");
    assertThat(status.out()).contains("orphaned").contains("its supervisor was killed");
    assertThat(status.status()).isOne();

    long next = pidIn(cortex.run("daemon", "start", "pm").out());

    assertThat(isAlive(orphan)).isFalse();
    assertThat(isAlive(next)).isTrue();
    assertThat(life("pm", 5))
        .contains("stopped " + orphan + " left behind by a supervisor that was killed");
  }

  @Test
  void what_a_killed_supervisor_leaves_behind_can_be_stopped() throws Exception {
    lay("pm", FOR_EVER, "");
    long orphan = pidIn(cortex.run("daemon", "start", "pm").out());
    killSupervisor("pm");

    assertThat(cortex.run("daemon", "stop", "pm").out())
        .contains("stopped, its supervisor had been killed");

    assertThat(isAlive(orphan)).isFalse();
    assertThat(life("pm", 3))
        .last()
        .isEqualTo(
            "stopped "
                + orphan
                + " cortex daemon stop, no reason given: its supervisor had been killed");
  }

  @Test
  void a_file_that_others_can_write_starts_nothing_and_the_view_says_why() throws Exception {
    lay("pm", FOR_EVER, "");
    mode(directory.resolve("daemons/pm.properties"), "rw-rw-rw-");

    Answer answer = cortex.run("daemon", "start", "pm");

    assertThat(answer.status()).isEqualTo(78);
    assertThat(life("pm", 2))
        .last()
        .asString()
        .startsWith("refused ")
        .endsWith("pm.properties: must be writable by its owner only");
    assertThat(cortex.run("daemon", "status", "pm").out()).contains("stopped");
  }

  @Test
  void a_state_that_others_can_write_is_not_acted_upon() throws Exception {
    lay("pm", FOR_EVER, "");
    long pid = pidIn(cortex.run("daemon", "start", "pm").out());
    Path home = directory.resolve("state/pm");
    mode(home, "rwxrwxrwx");

    Answer refused = cortex.run("daemon", "stop", "pm");

    assertThat(refused.status()).isEqualTo(78);
    assertThat(refused.err()).contains("must be writable by its owner only");
    assertThat(isAlive(pid)).isTrue();
    mode(home, "rwx------");
  }

  @Test
  void without_the_database_a_process_is_started_and_stopped_all_the_same() throws Exception {
    lay("pm", FOR_EVER, "");
    cortex = on(TestCommandLine.at("postgresql://nobody@127.0.0.1:1/nowhere"));

    Answer started = cortex.run("daemon", "start", "pm");

    assertThat(started.status()).as(started.err()).isZero();
    assertThat(started.err()).contains("system.daemon_start_requested is not recorded");
    Answer status = cortex.run("daemon", "status", "pm");
    assertThat(status.status()).isZero();
    assertThat(status.err()).contains("only processes of this host are shown");
    assertThat(cortex.run("daemon", "stop", "pm").status()).isZero();
    assertThat(isAlive(pidIn(started.out()))).isFalse();
    Spool spool = Spool.at(directory.resolve("spool"));
    await().atMost(PATIENCE).until(() -> spool.status().events() == 2); // started and stopped
  }

  @Test
  void of_two_starts_at_once_one_starts_it_and_the_other_says_that_it_runs() throws Exception {
    lay("pm", FOR_EVER, "");
    CompletableFuture<Answer> other =
        CompletableFuture.supplyAsync(() -> cortex.run("daemon", "start", "pm"));
    Answer one = cortex.run("daemon", "start", "pm");

    assertThat(List.of(one.status(), other.get().status()))
        .as(one.err() + other.get().err())
        .containsOnly(0);
    assertThat(one.out() + other.get().out()).contains("started, process", "runs already");
  }

  @Test
  void a_name_that_leads_elsewhere_is_no_name() {
    for (String verb : List.of("start", "stop", "status", "run")) {
      Answer answer = cortex.run("daemon", verb, "../pm");
      assertThat(answer.status()).as(verb).isEqualTo(64);
      assertThat(answer.err()).contains("lower-case letters, digits and hyphens").contains("../pm");
    }
  }

  @Test
  void what_a_supervisor_has_said_is_there_when_the_next_one_begins() throws Exception {
    lay("pm", FOR_EVER, "");
    Path home = Files.createDirectories(directory.resolve("state/pm"));
    mode(home, "rwx------");
    Path log = Files.writeString(home.resolve("supervisor.log"), "said before\n");

    assertThat(cortex.run("daemon", "start", "pm").status()).isZero();
    assertThat(log).content().startsWith("said before\n").contains("started, process");

    assertThat(cortex.run("daemon", "stop", "pm").status()).isZero();
    Files.writeString(log, "x".repeat(1024 * 1024 + 1));
    assertThat(cortex.run("daemon", "start", "pm").status()).isZero();
    assertThat(home.resolve("supervisor.log.1")).content().startsWith("xxx");
    assertThat(log).content().doesNotContain("xxx");
  }

  @Test
  void an_unknown_name_is_told_with_the_known_ones() throws Exception {
    lay("pm", FOR_EVER, "");

    Answer answer = cortex.run("daemon", "start", "autofix");

    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.err())
        .contains("auto-fix, failure-pattern, heartbeat-monitor, pm, worker-restart are known")
        .contains("did you mean auto-fix?");
    assertThat(cortex.run("daemon", "stop", "autofix").status()).isEqualTo(66);
    assertThat(cortex.run("daemon", "status", "autofix").status()).isEqualTo(66);
    assertThat(cortex.run("daemon").status()).isEqualTo(64);
  }

  @Test
  void daemons_that_are_handlers_are_asked_for_by_an_event_and_stopped_by_a_pause()
      throws Exception {
    Answer nobody = cortex.run("daemon", "start", "heartbeat-monitor", "--wait", "0");
    assertThat(nobody.status()).isEqualTo(75);
    assertThat(nobody.err()).contains("is a worker running (`cortex worker`)?");
    Process worker = cortex.start(directory.resolve("worker"), "worker", "--slots", "1");
    processes.add(worker);
    await()
        .atMost(PATIENCE)
        .until(() -> cortex.run("daemon", "status", "heartbeat-monitor").status() == 0);

    Answer started = cortex.run("daemon", "start", "heartbeat-monitor", "--wait", "60");
    assertThat(started.status()).as(started.err()).isZero();
    assertThat(started.out()).contains("started, as stale-workers, worker-health");

    assertThat(cortex.run("daemon", "stop", "heartbeat-monitor", "--reason", "INC-7").status())
        .isZero();
    assertThat(cortex.run("daemon", "status", "heartbeat-monitor").status()).isOne();
    assertThat(rows("select name from cortex.handlers where paused_at is not null order by name"))
        .containsExactly("stale-workers", "worker-health");
    assertThat(life("heartbeat-monitor", 4)).last().isEqualTo("stopped INC-7");

    assertThat(cortex.run("daemon", "start", "heartbeat-monitor", "--wait", "60").status())
        .isZero();
    assertThat(rows("select name from cortex.handlers where paused_at is not null")).isEmpty();
    assertThat(
            rows(
                "select count(*)::text from cortex.operator_actions where action in ('pause', 'resume')"))
        .containsExactly("4");
    assertThat(
            rows(
                "select distinct action || ' ' || reason from cortex.operator_actions where action in ('pause', 'resume') order by 1"))
        .containsExactly("pause INC-7", "resume cortex daemon start, no reason given");
  }

  private TestCommandLine on(TestCommandLine base) {
    return base.with(
        Map.of(
            "CORTEX_DAEMONS", directory.resolve("daemons").toString(),
            "CORTEX_DAEMON_STATE", directory.resolve("state").toString(),
            "CORTEX_SPOOL_DIR", directory.resolve("spool").toString()));
  }

  private void lay(String name, String script, String settings) throws IOException {
    Path daemonsDirectory = Files.createDirectories(directory.resolve("daemons"));
    mode(daemonsDirectory, "rwxr-xr-x");
    Path program = Files.writeString(directory.resolve(name + "-daemon.sh"), script);
    mode(program, "rwxr-xr-x");
    Path file =
        Files.writeString(
            daemonsDirectory.resolve(name + ".properties"),
            "command = " + program + "\n" + settings + "\n");
    mode(file, "rw-r--r--");
    daemons.add(name);
  }

  private static void mode(Path file, String mode) throws IOException {
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(mode));
  }

  private Path output(String name) {
    return directory.resolve("state").resolve(name).resolve("output.log");
  }

  /** When it has told what there was to tell. */
  private void killSupervisor(String name) throws IOException {
    assertThat(life(name, 2)).last().asString().startsWith("started");
    String holder =
        Files.readString(directory.resolve("state").resolve(name).resolve("supervisor.pid"));
    long pid = Long.parseLong(holder.substring(0, holder.indexOf(' ')));
    ProcessHandle.of(pid).orElseThrow().destroyForcibly();
    await().atMost(PATIENCE).until(() -> !isAlive(pid));
  }

  private static long pidIn(String text) {
    Matcher pid = PID.matcher(text);
    assertThat(pid.find()).as(text).isTrue();
    return Long.parseLong(pid.group(1));
  }

  /** A dead one that nobody has collected does not count. */
  private static boolean isAlive(long pid) {
    try {
      String stat = Files.readString(Path.of("/proc/" + pid + "/stat"));
      return !stat.substring(stat.lastIndexOf(')') + 2).startsWith("Z");
    } catch (IOException e) {
      return false;
    }
  }

  /** What was told of it, as soon as it is at least that much. */
  private List<String> life(String daemon, int facts) {
    String question =
        "select concat_ws(' ', what, pid, reason) from fleet.daemon_life where daemon = '"
            + daemon
            + "' order by happened_at, event_id";
    await().atMost(PATIENCE).until(() -> rows(question).size() >= facts);
    try {
      return rows(question);
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A supervisor tells of the end when it has ended; one that was killed does not. */
  private void awaitLastWords(String daemon) throws SQLException {
    String isToBeTold =
        "select 1 from fleet.daemon_life where daemon = '"
            + daemon
            + "' having count(*) filter (where what = 'started') > count(*) filter (where what = 'stopped')";
    long begin = System.nanoTime();
    while (!rows(isToBeTold).isEmpty() && System.nanoTime() - begin < LAST_WORDS_NANOS) {
      LockSupport.parkNanos(LAST_WORDS_NANOS / 100);
    }
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private List<String> rows(String sql) throws SQLException {
    List<String> rows = new ArrayList<>();
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      while (row.next()) {
        rows.add(row.getString(1));
      }
    }
    return rows;
  }
}
