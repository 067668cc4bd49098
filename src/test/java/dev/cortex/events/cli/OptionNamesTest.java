package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OptionNamesTest {
  private final TestCommandLine cortex = TestCommandLine.at("postgresql://nobody@127.0.0.1:1/db");

  @ParameterizedTest
  @ValueSource(strings = {"emit", "events", "replay"})
  void a_correlation_has_the_same_names_in_every_command(String command) {
    assertThat(cortex.run(command, "--help").out()).contains("--correlation, --correlation-id=ID");
  }
}
