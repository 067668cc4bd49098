package dev.cortex.events.cli;

import dev.cortex.events.database.SchemaVersion;
import java.util.Optional;
import picocli.CommandLine.IVersionProvider;

/** What {@code cortex --version} says. */
final class ProgramVersion implements IVersionProvider {
  @Override
  public String[] getVersion() {
    String version =
        Optional.ofNullable(ProgramVersion.class.getPackage().getImplementationVersion())
            .orElse("development");
    return new String[] {
      "cortex-events " + version,
      "schema version " + SchemaVersion.CURRENT,
      "Java " + Runtime.version()
    };
  }
}
