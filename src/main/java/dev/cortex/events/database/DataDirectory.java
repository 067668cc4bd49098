package dev.cortex.events.database;

import dev.cortex.events.event.ErrorCode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.List;
import java.util.Optional;

/**
 * Makes the data directory of an embedded server: complete with login, database and settings, or
 * not there at all. All of the superuser's work happens here, in single-user mode, before the
 * server ever listens; later nothing of ours logs in as superuser.
 */
final class DataDirectory {
  static final String LOGIN = "cortex";
  static final String DATABASE = "cortex";
  static final String SUPERUSER = "postgres";

  private static final String SETTINGS_FILE = "cortex.conf";

  /** 192 bits. */
  private static final int PASSWORD_BYTES = 24;

  /** Included before what ALTER SYSTEM writes, so that an operator's settings win over ours. */
  private static final String SETTINGS =
      """
      # Written at every start. Change settings by ALTER SYSTEM.
      password_encryption = 'scram-sha-256'
      shared_buffers = '256MB'
      max_wal_size = '2GB'
      timezone = 'UTC'

      # A worker that died inside a long statement, or a host that vanished, frees its rows soon.
      client_connection_check_interval = '1s'
      tcp_keepalives_idle = '30s'
      tcp_keepalives_interval = '10s'
      tcp_keepalives_count = 3

      # One file per weekday, overwritten a week later. A refused statement or row may be a payload:
      # neither is logged.
      logging_collector = on
      log_directory = 'log'
      log_filename = 'postgresql-%a.log'
      log_rotation_age = '1d'
      log_rotation_size = 0
      log_truncate_on_rotation = on
      log_timezone = 'UTC'
      log_line_prefix = '%m [%p] %q%u@%d %a '
      log_error_verbosity = terse
      log_min_error_statement = panic
      """;

  private final ServerHome home;
  private final PostgresPrograms programs;
  private final LaunchIdentity identity;

  DataDirectory(ServerHome home, PostgresPrograms programs, LaunchIdentity identity) {
    this.home = home;
    this.programs = programs;
    this.identity = identity;
  }

  /** Makes the data directory if it is not there, and brings our settings up to date. */
  void prepare() throws IOException {
    Optional<Integer> found = home.major();
    if (found.isPresent()) {
      requireMajor(found.get());
    } else {
      create();
    }
    writeSettings(home.data());
  }

  private void requireMajor(int found) {
    if (found != programs.major()) {
      throw new EmbeddedServerException(
          ErrorCode.CONFIGURATION,
          home.root(),
          "its data are of PostgreSQL "
              + found
              + ", but this program carries PostgreSQL "
              + programs.major()
              + "; choose another directory, or move the data with pg_dump and pg_restore of "
              + found);
    }
  }

  private void create() throws IOException {
    if (Files.exists(home.data())) {
      throw new EmbeddedServerException(
          ErrorCode.CONFIGURATION,
          home.root(),
          "data is there, but is no data directory of PostgreSQL: " + home.data());
    }
    Path unfinished = home.root().resolve("data.initdb");
    if (Files.exists(unfinished)) {
      PostgresPrograms.delete(unfinished);
    }
    String superuserPassword = newPassword();
    String password = newPassword();
    initialize(unfinished, superuserPassword);
    bootstrap(unfinished, password);
    home.write(home.superuserPassword(), superuserPassword + "\n");
    home.write(home.password(), password + "\n");
    Files.move(unfinished, home.data(), StandardCopyOption.ATOMIC_MOVE);
  }

  private void initialize(Path directory, String superuserPassword) throws IOException {
    Path passwordInput = home.root().resolve("initdb.password");
    home.write(passwordInput, superuserPassword + "\n");
    identity.own(passwordInput);
    try {
      run(
          "initdb",
          identity.command(
              programs.program("initdb").toString(),
              "--pgdata=" + directory,
              "--username=" + SUPERUSER,
              "--pwfile=" + passwordInput,
              "--auth=scram-sha-256",
              "--encoding=UTF8",
              "--locale=C",
              "--data-checksums",
              "--no-instructions"),
          "");
    } finally {
      Files.delete(passwordInput);
    }
    Files.writeString(
        directory.resolve("postgresql.conf"),
        "\ninclude_if_exists = '" + SETTINGS_FILE + "'\n",
        StandardCharsets.UTF_8,
        StandardOpenOption.APPEND);
  }

  /**
   * Makes the login and its database. Membership of pg_monitor lets it see the server's settings
   * and what other sessions wait for, which every start and every diagnosis asks. A password is of
   * letters, digits, {@code _} and {@code -} and needs no quoting.
   */
  private void bootstrap(Path directory, String password) throws IOException {
    String script =
        """
        create role %1$s login nosuperuser createrole nocreatedb noreplication password '%3$s';
        grant pg_monitor to %1$s;
        create database %2$s owner %1$s;
        """
            .formatted(LOGIN, DATABASE, password);
    run(
        "bootstrap",
        identity.command(
            programs.program("postgres").toString(),
            "--single",
            "-D",
            directory.toString(),
            "-c",
            "exit_on_error=on",
            "-c",
            "log_min_error_statement=panic",
            "postgres"),
        script);
  }

  private void run(String step, List<String> command, String input) throws IOException {
    SystemProcess.Result result = SystemProcess.run(command, input);
    if (!result.succeeded()) {
      throw new EmbeddedServerException(
          ErrorCode.UNAVAILABLE,
          home.root(),
          step
              + " failed with status "
              + result.status()
              + " (run as "
              + identity.name()
              + "):\n"
              + result.output().strip());
    }
  }

  private void writeSettings(Path directory) throws IOException {
    Path file = directory.resolve(SETTINGS_FILE);
    home.write(file, SETTINGS);
    identity.own(file);
  }

  private static String newPassword() {
    byte[] random = new byte[PASSWORD_BYTES];
    new SecureRandom().nextBytes(random);
    return Base64.getUrlEncoder().withoutPadding().encodeToString(random);
  }
}
