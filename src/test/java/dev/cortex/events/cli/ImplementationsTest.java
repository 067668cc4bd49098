package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ImplementationsTest {
  private final HandlerDefinition code = leased().on("task.failed").withMaxRunning(1);

  private static HandlerDefinition leased() {
    return HandlerDefinition.leased("one", (event, context) -> Outcome.done());
  }

  @Test
  void a_program_has_the_limits_of_the_code_that_it_stands_for() {
    HandlerDefinition chosen = chosen(code.withMaxEmitted(5), leased());

    assertThat(chosen.patterns()).containsExactly("task.failed");
    assertThat(chosen.maxRunning()).isEqualTo(OptionalInt.of(1));
    assertThat(chosen.maxEmitted()).isEqualTo(5);
  }

  @Test
  void a_program_that_says_how_many_may_run_is_limited_so() {
    assertThat(chosen(code, leased().withMaxRunning(3)).maxRunning()).isEqualTo(OptionalInt.of(3));
  }

  private static HandlerDefinition chosen(HandlerDefinition code, HandlerDefinition program) {
    return new Implementations(List.of(code), List.of(program)).chosen(Set.of("one")).get(0);
  }
}
