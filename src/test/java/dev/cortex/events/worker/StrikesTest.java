package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.event.Priority;
import java.time.Instant;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** When a delivery to which the same happens every time is at fault itself. */
class StrikesTest {
  private final Strikes strikes = new Strikes();

  @Test
  void four_are_free() {
    strike(delivery(1, 0), 4);
    assertThat(strikes.out(delivery(1, 0))).isEmpty();
  }

  @Test
  void the_fifth_is_charged_and_the_count_begins_anew() {
    strike(delivery(1, 0), 5);
    assertThat(strikes.out(delivery(1, 0))).contains(Strikes.Charge.DATABASE_GONE);
    assertThat(strikes.out(delivery(1, 0))).isEmpty();
  }

  @Test
  void what_came_to_something_meanwhile_begins_anew() {
    strike(delivery(1, 0), 4);
    strikes.forget(delivery(1, 0));
    strike(delivery(1, 0), 4);
    assertThat(strikes.out(delivery(1, 0))).isEmpty();
  }

  @Test
  void different_faults_do_not_add_up() {
    strike(delivery(1, 0), 4);
    for (int i = 0; i < 9; i++) {
      strikes.add(delivery(1, 0), Strikes.Charge.CONTENTION);
    }
    assertThat(strikes.out(delivery(1, 0))).isEmpty();
    strikes.add(delivery(1, 0), Strikes.Charge.CONTENTION);
    assertThat(strikes.out(delivery(1, 0))).contains(Strikes.Charge.CONTENTION);
  }

  @Test
  void they_are_counted_for_each_event_and_generation() {
    strike(delivery(1, 0), 5);
    assertThat(strikes.out(delivery(2, 0))).isEmpty();
    assertThat(strikes.out(delivery(1, 1))).isEmpty();
    assertThat(strikes.out(delivery(1, 0))).contains(Strikes.Charge.DATABASE_GONE);
  }

  @Test
  void what_was_run_and_charged_elsewhere_since_begins_anew() {
    strikes.add(delivery(1, 0, 0), Strikes.Charge.TIME_BUDGET);
    assertThat(strikes.out(delivery(1, 0, 1))).isEmpty();
    assertThat(strikes.out(delivery(1, 0, 0))).contains(Strikes.Charge.TIME_BUDGET);
  }

  @Test
  void no_more_than_a_thousand_deliveries_are_remembered() {
    strike(delivery(1, 0), 5);
    for (int number = 2; number <= 1_000; number++) {
      strike(delivery(number, 0), 1);
    }
    assertThat(strikes.out(delivery(1, 0))).contains(Strikes.Charge.DATABASE_GONE);

    strike(delivery(1, 0), 5);
    for (int number = 2_000; number < 3_000; number++) {
      strike(delivery(number, 0), 1);
    }
    assertThat(strikes.out(delivery(1, 0))).isEmpty();
  }

  private void strike(Delivery delivery, int times) {
    for (int i = 0; i < times; i++) {
      strikes.add(delivery, Strikes.Charge.DATABASE_GONE);
    }
  }

  private static Delivery delivery(long number, int generation) {
    return delivery(number, generation, 0);
  }

  private static Delivery delivery(long number, int generation, int attempt) {
    return new Delivery(
        "(0,1)",
        Instant.EPOCH,
        (short) 1,
        (short) 0,
        Priority.MEDIUM,
        Instant.EPOCH,
        number,
        (short) generation,
        attempt,
        Optional.empty());
  }
}
