package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class StopSignalsTest {
  private final List<String> done = new ArrayList<>();

  @Test
  void the_first_request_asks_and_every_further_one_insists() {
    try (StopSignals stop = StopSignals.listen()) {
      stop.onFirst(() -> done.add("asked"));
      stop.onSecond(() -> done.add("insisted"));
      assertThat(stop.isAsked()).isFalse();
      stop.ask();
      assertThat(stop.isAsked()).isTrue();
      stop.ask();
      stop.ask();
    }
    assertThat(done).containsExactly("asked", "insisted", "insisted");
  }

  @Test
  void a_request_that_has_come_before_counts() {
    try (StopSignals stop = StopSignals.listen()) {
      stop.ask();
      stop.onSecond(() -> done.add("insisted"));
      stop.onFirst(() -> done.add("asked"));
      assertThat(done).containsExactly("asked");
      stop.ask();
      stop.onSecond(() -> done.add("insisted late"));
    }
    assertThat(done).containsExactly("asked", "insisted", "insisted late");
  }
}
