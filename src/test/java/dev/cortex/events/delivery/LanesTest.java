package dev.cortex.events.delivery;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a process remembers of a lane between its claims. */
class LanesTest {
  private static final short LANE = 1;
  private static final long VERSION = 7;
  private static final long FLOOR = 10_000;
  private static final Duration COST = Duration.ofMillis(1);

  private final Lanes lanes = new Lanes(1);
  private long now = System.nanoTime();

  private LaneTurn take() {
    return lanes.probe(now, FLOOR).turn(LANE, VERSION);
  }

  private void commit(LaneTurn turn, long scannedTo) {
    lanes.committed(turn, new LaneClaim(List.of(), scannedTo, Lanes.BEGINNING), COST, now);
  }

  private void pass(Duration time) {
    now += time.toNanos();
  }

  @Test
  void a_claim_begins_where_the_one_before_it_came_to() {
    commit(take(), 1_000);
    assertThat(take().from()).isEqualTo(1_000);
    commit(take(), 20_000);
    assertThat(take().from()).as("no mark passes the floor").isEqualTo(FLOOR);
  }

  @Test
  void a_sweep_goes_up_to_the_mark_in_steps_between_which_the_lane_is_worked() {
    commit(take(), 1_000);
    pass(Duration.ofSeconds(31));
    LaneTurn first = take();
    assertThat(first.isSweep()).isTrue();
    assertThat(first.from()).isZero();
    commit(first, 400);

    LaneTurn between = take();
    assertThat(between.isSweep()).isFalse();
    assertThat(between.from()).isEqualTo(1_000);
    commit(between, 1_100);

    pass(Duration.ofSeconds(1));
    LaneTurn second = take();
    assertThat(second.isSweep()).isTrue();
    assertThat(second.from()).isEqualTo(400);
    commit(second, 1_200);

    pass(Duration.ofSeconds(1));
    assertThat(take().isSweep()).isFalse();
    assertThat(take().from()).isEqualTo(1_200);
  }

  @Test
  void a_sweep_that_finds_nothing_below_the_mark_is_over_and_leaves_the_mark() {
    commit(take(), 1_000);
    pass(Duration.ofSeconds(31));
    commit(take(), 0);
    pass(Duration.ofSeconds(1));
    assertThat(take().isSweep()).isFalse();
    assertThat(take().from()).isEqualTo(1_000);
  }
}
