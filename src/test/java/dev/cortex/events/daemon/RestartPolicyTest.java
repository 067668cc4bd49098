package dev.cortex.events.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RestartPolicyTest {
  @Test
  void the_delay_doubles_up_to_a_minute_and_ends_at_the_limit() {
    RestartPolicy policy = new RestartPolicy(RestartPolicy.When.ON_FAILURE, 8);

    assertThat(
            IntStream.rangeClosed(1, 8).mapToLong(n -> policy.delay(n).orElseThrow().toSeconds()))
        .containsExactly(1L, 2L, 4L, 8L, 16L, 32L, 60L, 60L);
    assertThat(policy.delay(9)).isEmpty();
    assertThat(new RestartPolicy(RestartPolicy.When.ALWAYS, 1000).delay(1000)).isPresent();
  }

  @Test
  void on_failure_lets_an_orderly_end_be_the_end() {
    assertThat(RestartPolicy.defaults().wants(0)).isFalse();
    assertThat(RestartPolicy.defaults().wants(137)).isTrue();
    assertThat(new RestartPolicy(RestartPolicy.When.ALWAYS, 5).wants(0)).isTrue();
    assertThat(new RestartPolicy(RestartPolicy.When.NEVER, 5).wants(1)).isFalse();
  }

  @Test
  void another_word_or_limit_is_refused_with_the_rule_and_the_value() {
    assertThatThrownBy(() -> RestartPolicy.When.of("sometimes"))
        .hasMessage("must be on-failure, always or never, was sometimes");
    assertThatThrownBy(() -> new RestartPolicy(RestartPolicy.When.NEVER, -1))
        .hasMessage("must be 0 to 1000, was -1");
  }
}
