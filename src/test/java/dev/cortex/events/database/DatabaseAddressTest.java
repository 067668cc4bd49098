package dev.cortex.events.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.ds.PGSimpleDataSource;

class DatabaseAddressTest {
  private static final String CANARY = "CANARY-s3cret";

  @ParameterizedTest
  @ValueSource(
      strings = {
        "postgresql://ann:CANARY-s3cret@db.example:6543/shop",
        "postgres://ann:CANARY-s3cret@db.example:6543/shop",
        "jdbc:postgresql://ann:CANARY-s3cret@db.example:6543/shop",
        "jdbc:postgresql://db.example:6543/shop?user=ann&password=CANARY-s3cret",
        "postgresql:///shop?host=db.example&port=6543&user=ann&password=CANARY%2Ds3cret",
      })
  void every_form_of_a_url_is_the_same_address(String url) {
    DatabaseAddress address = DatabaseAddress.of(url);
    assertThat(address)
        .isEqualTo(DatabaseAddress.of("postgresql://ann:" + CANARY + "@db.example:6543/shop"));
    assertThat(address.user()).isEqualTo("ann");
    assertThat(address.database()).isEqualTo("shop");
    assertThat(address.hosts()).containsExactly(new DatabaseHost("db.example", 6543));
    assertThat(address.password()).contains(CANARY);
  }

  @Test
  void a_password_is_never_shown() {
    DatabaseAddress address =
        DatabaseAddress.of("postgresql://ann:" + CANARY + "@h/db?sslpassword=" + CANARY);
    assertThat(address.toString()).isEqualTo("postgresql://ann@h:5432/db");
    assertThat(address.jdbcUrl()).isEqualTo("jdbc:postgresql://h:5432/db");
    assertThat(address.psqlVariables().toString()).doesNotContain(CANARY);
    assertThat(DatabaseUrl.parse("postgresql://ann:" + CANARY + "@h/db").toString())
        .doesNotContain(CANARY);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "mysql://ann:CANARY-s3cret@h/db",
        "CANARY-s3cret",
        "postgresql://ann:CANARY-s3cret@h:port/db",
        "postgresql://ann:CANARY-s3cret@h:0/db",
        "postgresql://ann:CANARY-s3cret@h:70000/db",
        "postgresql://ann:CANARY-s3cret@h/db?sslmod=require",
        "postgresql://ann:CANARY-s3cret@h/db?sslmode",
        "postgresql://ann:CANARY-s3cret%zz@h/db",
        "postgresql://ann:CANARY-s3cret@[::1/db",
        "postgresql://ann:CANARY-s3cret@%2Fvar%2Frun/db",
        "postgresql://ann:CANARY-s3cret@h/db?target_session_attrs=best",
        "postgresql://ann:CANARY-s3cret/x@h/db",
        "postgresql://ann:x/CANARY-s3cret@h/db",
        "postgresql://ann:1/CANARY-s3cret@h/db",
        "postgresql://ann:x@CANARY-s3cret/x@h/db",
        "postgresql://ann:1?CANARY-s3cret=x@h/db",
        "postgresql://ann:x@y?CANARY-s3cret=x@h/db",
        "postgresql://ann:1/x?CANARY-s3cret=x@h/db",
        "postgresql://[CANARY-s3cret/x@h/db",
      })
  void a_url_that_breaks_a_rule_is_refused_without_repeating_the_password(String url) {
    assertThatThrownBy(() -> DatabaseAddress.of(url))
        .isInstanceOf(InvalidAddressException.class)
        .hasMessageNotContaining(CANARY);
  }

  @Test
  void a_password_that_was_cut_off_at_its_slash_is_told_how_to_be_written() {
    assertThatThrownBy(() -> DatabaseAddress.of("postgresql://u:s3cr/et@host/db"))
        .hasMessageContaining("/ as %2F")
        .hasMessageNotContaining("s3cr")
        .hasMessageNotContaining("et@");
    assertThatThrownBy(() -> DatabaseAddress.of("postgresql://u:70000/et@host/db"))
        .hasMessageNotContaining("70000");
    assertThat(DatabaseAddress.of("postgresql://h/d?user=ann@corp").user()).isEqualTo("ann@corp");
  }

  @Test
  void a_misspelt_parameter_is_told_its_nearest_name() {
    assertThatThrownBy(() -> DatabaseAddress.of("postgresql://h/d?sslmod=require"))
        .hasMessageContaining("such as sslmode");
  }

  @Test
  void special_characters_are_percent_encoded_and_a_plus_is_a_plus() {
    DatabaseAddress address = DatabaseAddress.of("postgresql://a%40b:p%3A+%2F@h/my%20db");
    assertThat(address.user()).isEqualTo("a@b");
    assertThat(address.password()).contains("p:+/");
    assertThat(address.database()).isEqualTo("my db");
  }

  @Test
  void several_hosts_are_tried_in_order_and_the_primary_is_used() {
    DatabaseAddress address = DatabaseAddress.of("postgresql://u@a:1,b,[::1]:3/db");
    assertThat(address.hosts())
        .containsExactly(
            new DatabaseHost("a", 1), new DatabaseHost("b", 5432), new DatabaseHost("::1", 3));
    assertThat(address.toString()).isEqualTo("postgresql://u@a:1,b:5432,[::1]:3/db");
    assertThat(source(address).getTargetServerType()).isEqualTo("primary");
    assertThat(source(address).getPortNumbers()).containsExactly(1, 5432, 3);
  }

  @Test
  void what_a_url_leaves_out_comes_from_the_variables_of_psql() {
    Map<String, String> environment =
        Map.of("PGHOST", "h", "PGPORT", "7", "PGDATABASE", "d", "PGUSER", "u", "PGPASSWORD", "p");
    DatabaseAddress address = DatabaseAddress.of("postgresql:///other", environment);
    assertThat(address.toString()).isEqualTo("postgresql://u@h:7/other");
    assertThat(address.password()).contains("p");
  }

  @Test
  void the_environment_names_a_database_by_url_first_then_by_variables_or_not_at_all() {
    assertThat(
            DatabaseAddress.fromEnvironment(
                Map.of("DATABASE_URL", "postgres://u@h/d", "PGHOST", "other")))
        .map(DatabaseAddress::toString)
        .contains("postgresql://u@h:5432/d");
    assertThat(DatabaseAddress.fromEnvironment(Map.of("PGHOST", "h", "PGUSER", "u")))
        .map(DatabaseAddress::toString)
        .contains("postgresql://u@h:5432/u");
    assertThat(DatabaseAddress.fromEnvironment(Map.of("PGUSER", "u", "DATABASE_URL", "")))
        .isEmpty();
  }

  @Test
  void a_password_file_is_read_when_nothing_else_gives_a_password(@TempDir Path directory)
      throws IOException {
    Path file = directory.resolve("pgpass");
    Files.writeString(file, "# comment\nother:5432:*:u:wrong\n*:5432:d:u:a\\:b\\\\c\n");
    Map<String, String> environment = Map.of("PGPASSFILE", file.toString());

    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
    assertThat(DatabaseAddress.of("postgresql://u@h/d", environment).password()).isEmpty();

    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    DatabaseAddress address = DatabaseAddress.of("postgresql://u@h/d", environment);
    assertThat(address.password()).contains("a:b\\c");
    assertThat(address.psqlVariables()).containsEntry("PGPASSFILE", file.toString());
    assertThat(DatabaseAddress.of("postgresql://u:given@h/d", environment).password())
        .contains("given");
  }

  @Test
  void a_written_password_line_is_read_back() throws IOException {
    DatabaseHost host = new DatabaseHost("::1", 5);
    Path file = Files.createTempFile("pgpass", "");
    Files.writeString(file, PasswordFile.line(host, "d:b", "u\\v", "p:q") + "\n");
    assertThat(new PasswordFile(file).password(host, "d:b", "u\\v")).contains("p:q");
    Files.delete(file);
  }

  @Test
  void another_machine_is_spoken_to_with_verified_encryption_unless_told_otherwise() {
    assertThat(source(DatabaseAddress.of("postgresql://h/d")).getSslMode())
        .isEqualTo("verify-full");
    assertThat(source(DatabaseAddress.of("postgresql://localhost/d")).getSslMode())
        .isEqualTo("prefer");
    assertThat(source(DatabaseAddress.of("postgresql://h/d?sslmode=disable")).getSslMode())
        .isEqualTo("disable");
    assertThat(
            source(DatabaseAddress.of("postgresql://h/d", Map.of("PGSSLMODE", "require")))
                .getSslMode())
        .isEqualTo("require");
  }

  @Test
  void a_remote_server_is_checked_against_the_root_certificates_in_the_home_of_the_environment(
      @TempDir Path home) throws Exception {
    Path root = Files.createDirectory(home.resolve(".postgresql")).resolve("root.crt");
    Map<String, String> environment = Map.of("HOME", home.toString());
    assertThat(source(DatabaseAddress.of("postgresql://h/d", environment)).getSslRootCert())
        .as("none there")
        .isNull();
    Files.createFile(root);
    assertThat(source(DatabaseAddress.of("postgresql://h/d", environment)).getSslRootCert())
        .isEqualTo(root.toString());
  }

  @Test
  void psql_is_told_whom_to_trust_and_with_which_options(@TempDir Path home) throws Exception {
    Map<String, String> environment = Map.of("HOME", home.toString());
    assertThat(DatabaseAddress.of("postgresql://h/d", environment).psqlVariables())
        .as("Java's own authorities")
        .containsEntry("PGSSLMODE", "verify-full")
        .containsEntry("PGSSLROOTCERT", "system");
    assertThat(DatabaseAddress.of("postgresql://localhost/d", environment).psqlVariables())
        .as("no certificate is looked at")
        .doesNotContainKeys("PGSSLROOTCERT", "PGAPPNAME");
    assertThat(
            DatabaseAddress.of(
                    "postgresql://h/d?sslrootcert=/r.crt&sslcert=/c&sslkey=/k&options=-c%20jit%3Doff",
                    environment)
                .psqlVariables())
        .containsEntry("PGSSLROOTCERT", "/r.crt")
        .containsEntry("PGSSLCERT", "/c")
        .containsEntry("PGSSLKEY", "/k")
        .containsEntry("PGOPTIONS", "-c jit=off");
    Path root = Files.createDirectory(home.resolve(".postgresql")).resolve("root.crt");
    Files.createFile(root);
    assertThat(DatabaseAddress.of("postgresql://h/d", environment).psqlVariables())
        .containsEntry("PGSSLROOTCERT", root.toString());
  }

  @Test
  void connections_notice_a_dead_peer_and_keep_payloads_out_of_errors() {
    PGSimpleDataSource source =
        source(
            DatabaseAddress.of("postgresql://localhost/d")
                .withApplicationName("worker")
                .withSocketTimeout(Duration.ofMillis(1500)));
    assertThat(source.getConnectTimeout()).isEqualTo(10);
    assertThat(source.getSocketTimeout()).isEqualTo(2);
    assertThat(source.getTcpKeepAlive()).isTrue();
    assertThat(source.getReWriteBatchedInserts()).isTrue();
    assertThat(source.getPrepareThreshold()).isEqualTo(1);
    assertThat(source.getApplicationName()).isEqualTo("worker");
    assertThat(source.getLogServerErrorDetail()).isFalse();
  }

  @Test
  void parameters_of_libpq_and_of_the_driver_are_both_understood() {
    PGSimpleDataSource source =
        source(
            DatabaseAddress.of(
                "postgresql://h/d?connect_timeout=3&application_name=x&keepalives=0"
                    + "&socketTimeout=9&target_session_attrs=any"));
    assertThat(source.getConnectTimeout()).isEqualTo(3);
    assertThat(source.getApplicationName()).isEqualTo("x");
    assertThat(source.getTcpKeepAlive()).isFalse();
    assertThat(source.getSocketTimeout()).isEqualTo(9);
  }

  private static PGSimpleDataSource source(DatabaseAddress address) {
    return (PGSimpleDataSource) address.dataSource();
  }
}
