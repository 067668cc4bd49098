package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

/** How many events one transaction takes. */
class BatchSizeTest {
  private static final Duration QUICK = Duration.ofMillis(5);
  private static final Duration LONG = Duration.ofSeconds(1);

  private final BatchSize size = new BatchSize(100);

  @Test
  void it_begins_with_the_maximum() {
    assertThat(size.current()).isEqualTo(100);
  }

  @Test
  void interleaving_11_each_clash_halves_it_down_to_one() {
    int[] expected = {50, 25, 12, 6, 3, 1, 1};
    for (int current : expected) {
      size.clashed(Duration.ZERO);
      assertThat(size.current()).isEqualTo(current);
    }
  }

  @Test
  void interleaving_11_each_full_batch_that_goes_well_adds_a_tenth_of_the_maximum() {
    size.clashed(Duration.ZERO);
    size.succeeded(50, QUICK);
    assertThat(size.current()).isEqualTo(60);
    for (int batch = 0; batch < 10; batch++) {
      size.succeeded(size.current(), QUICK);
    }
    assertThat(size.current()).isEqualTo(100);
  }

  @Test
  void a_batch_that_was_not_full_says_nothing_of_larger_ones() {
    size.clashed(Duration.ZERO);
    size.succeeded(49, QUICK);
    assertThat(size.current()).isEqualTo(50);
  }

  @Test
  void a_batch_that_took_long_halves_what_it_was() {
    size.succeeded(40, LONG);
    assertThat(size.current()).isEqualTo(20);
    size.succeeded(1, LONG);
    assertThat(size.current()).isEqualTo(1);
  }

  @Test
  void a_maximum_of_one_stays_one() {
    BatchSize one = new BatchSize(1);
    one.clashed(Duration.ZERO);
    one.succeeded(1, QUICK);
    assertThat(one.current()).isEqualTo(1);
  }

  @Test
  void a_small_maximum_grows_by_one() {
    BatchSize small = new BatchSize(3);
    small.clashed(Duration.ZERO);
    small.succeeded(1, QUICK);
    assertThat(small.current()).isEqualTo(2);
  }

  @Test
  void a_heavy_claim_makes_the_next_one_weigh_eight_million_characters() {
    size.weighed(100, 8_000_000);
    assertThat(size.current()).isEqualTo(100);
    size.weighed(100, 80_000_000);
    assertThat(size.current()).isEqualTo(10);
    size.weighed(1, 16_000_000);
    assertThat(size.current()).isEqualTo(1);
  }
}
