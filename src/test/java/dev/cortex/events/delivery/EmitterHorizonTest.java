package dev.cortex.events.delivery;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Set;
import org.junit.jupiter.api.Test;

/** Up to which number everything is settled, whoever is emitting. */
class EmitterHorizonTest {
  private final EmitterHorizon horizon = new EmitterHorizon(new LaneStore());
  private long now = System.nanoTime();

  private void seen(long lastId, String... emitters) {
    now += 20_000_000;
    horizon.seen(lastId, Set.of(emitters), now);
  }

  @Test
  void nobody_emits_so_all_numbers_are_settled() {
    seen(17);
    assertThat(horizon.floor()).isEqualTo(18);
  }

  @Test
  void interleaving_2_the_numbers_of_an_open_emitter_are_not_settled() {
    seen(17);
    seen(20, "a");
    assertThat(horizon.floor()).isEqualTo(18);
    seen(40, "a", "b");
    assertThat(horizon.floor()).isEqualTo(18);
  }

  @Test
  void they_are_once_it_has_ended_whoever_else_has_begun() {
    seen(17);
    seen(20, "a");
    seen(40, "a", "b");
    seen(50, "b", "c");
    assertThat(horizon.floor()).isEqualTo(21);
    seen(60, "d");
    assertThat(horizon.floor()).isEqualTo(51);
  }

  @Test
  void an_emitter_that_stays_open_is_given_up_after_a_minute() {
    seen(17);
    seen(20, "open");
    now += EmitterHorizon.PATIENCE.toNanos();
    seen(40, "open", "b");
    assertThat(horizon.floor()).isEqualTo(21);
    seen(50, "open", "c");
    assertThat(horizon.floor()).isEqualTo(41);
    seen(60, "open");
    assertThat(horizon.floor()).isEqualTo(61);
  }

  @Test
  void an_emitter_stays_given_up_when_another_one_is_given_up_after_it() {
    seen(17);
    seen(20, "first");
    now += EmitterHorizon.PATIENCE.toNanos();
    seen(40, "first", "second");
    now += EmitterHorizon.PATIENCE.toNanos();
    seen(60, "first", "second");
    assertThat(horizon.floor()).isEqualTo(61);
    seen(80, "first", "second");
    assertThat(horizon.floor()).isEqualTo(81);
  }

  @Test
  void the_numbers_of_a_prepared_transaction_are_not_settled_though_it_has_another_name() {
    seen(17);
    seen(20, "3/45");
    seen(30, "-1/77");
    assertThat(horizon.floor()).isEqualTo(18);
    seen(40, "-1/77", "4/5", "-1/78");
    assertThat(horizon.floor()).isEqualTo(18);
    seen(50, "4/5", "-1/78");
    assertThat(horizon.floor()).as("nobody waits for later ones").isEqualTo(21);
  }
}
