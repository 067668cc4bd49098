package dev.cortex.events.cli;

import dev.cortex.events.spool.Spool;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Option;

/** Which spool a command is about. */
final class SpoolChoice {
  @Option(
      names = "--spool-dir",
      paramLabel = "DIR",
      description =
          "The spool, yours alone (mode 0700); unless given CORTEX_SPOOL_DIR, else"
              + " cortex-events/spool in XDG_STATE_HOME or ~/.local/state.")
  private Optional<Path> directory;

  Spool spool(Map<String, String> environment) {
    return directory.map(Spool::at).orElseGet(() -> Spool.usual(environment));
  }
}
