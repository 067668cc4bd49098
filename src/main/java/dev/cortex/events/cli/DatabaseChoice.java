package dev.cortex.events.cli;

import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.EmbeddedPostgres;
import dev.cortex.events.database.EmbeddedServerStatus;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/** Which database a command is about. */
sealed interface DatabaseChoice {
  /** A server that somebody else runs. */
  record Given(DatabaseAddress address) implements DatabaseChoice {}

  /** The server of our own, in a directory that is kept. */
  record Embedded(Optional<Path> directory) implements DatabaseChoice {
    /** Starts or joins it. */
    EmbeddedPostgres open() {
      return directory.map(EmbeddedPostgres::open).orElseGet(EmbeddedPostgres::open);
    }

    /** What is known of it before. */
    EmbeddedServerStatus status() {
      return directory.map(EmbeddedPostgres::status).orElseGet(EmbeddedPostgres::status);
    }
  }

  /** Names an embedded server's directory, as {@code cortex database} exports it. */
  String DIRECTORY_VARIABLE = "CORTEX_DATA_DIR";

  /**
   * The first of these that is there: the URL option, the directory option, DATABASE_URL,
   * CORTEX_DATA_DIR, the PG* variables, the embedded server of the default directory.
   */
  static DatabaseChoice of(
      Optional<String> url, Optional<Path> directory, Map<String, String> environment) {
    if (url.isPresent()) {
      return new Given(DatabaseAddress.of(url.get(), environment));
    }
    if (directory.isPresent()) {
      return new Embedded(directory);
    }
    String variable = environment.getOrDefault(DIRECTORY_VARIABLE, "");
    if (!variable.isEmpty() && environment.getOrDefault("DATABASE_URL", "").isEmpty()) {
      return new Embedded(Optional.of(Path.of(variable)));
    }
    return DatabaseAddress.fromEnvironment(environment)
        .<DatabaseChoice>map(Given::new)
        .orElseGet(() -> new Embedded(Optional.empty()));
  }
}
