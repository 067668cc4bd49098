package dev.cortex.events.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What is to be reached, worked out of what was measured. */
class BarsTest {
  private final Results results = new Results();

  private void measured(String workload, String contender, double value) {
    results.add(Figure.of(workload, contender, value, Figure.RATE));
  }

  private Bar bar(String demand) {
    return Bars.of(results).stream()
        .filter(bar -> bar.demand().equals(demand))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void what_was_not_measured_is_neither_reached_nor_missed() {
    assertThat(Bars.of(results)).isNotEmpty();
    assertThat(Bars.of(results)).allMatch(bar -> bar.isReached().isEmpty());
  }

  @Test
  void a_ratio_at_the_limit_is_reached() {
    measured("emit-single", "floor", 4_000);
    measured("emit-single", "cortex", 3_000);
    Bar bar = bar("emit, one row a commit: the floor");
    assertThat(bar.figure()).contains(0.75);
    assertThat(bar.isReached()).contains(true);
  }

  @Test
  void the_fastest_peer_is_neither_the_floor_nor_ourselves() {
    measured("drain-noop", "floor", 500_000);
    measured("drain-noop", "cortex", 90_000);
    measured("drain-noop", "db-scheduler", 5_000);
    measured("drain-noop", "graphile-worker", 50_000);
    Bar bar = bar("drain, no-op: the fastest peer");
    assertThat(bar.figure()).contains(1.8);
    assertThat(bar.isReached()).contains(false);
    assertThat(bar("drain, no-op: db-scheduler").figure()).contains(18.0);
  }

  @Test
  void a_ceiling_is_missed_from_above() {
    measured("hot-rows", "attempts burnt", 1);
    assertThat(bar("hot rows: attempts burnt").isReached()).contains(false);
    assertThat(new Bar("", 10, Optional.of(9.9), true).isReached()).contains(true);
    assertThat(new Bar("", 10, Optional.of(9.9), false).isReached()).contains(false);
  }
}
