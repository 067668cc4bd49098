package dev.cortex.events.delivery;

import static dev.cortex.events.event.Priority.CRITICAL;
import static dev.cortex.events.event.Priority.MEDIUM;
import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.delivery.ClaimWindow.Kind;
import dev.cortex.events.event.Priority;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Where claims look, by a clock of the test's own. */
class LowWaterMarksTest {
  private static final Instant NOON = Instant.parse("2026-01-01T12:00:00Z");
  private static final Duration CHEAP = Duration.ofNanos(1);
  private static final long START = System.nanoTime() + Duration.ofDays(1).toNanos();

  private final LowWaterMarks marks = new LowWaterMarks();

  @Test
  void the_first_claim_looks_at_the_whole_queue() {
    assertLooks(marks.next(START), Kind.AHEAD, "-infinity", "infinity");
  }

  @Test
  void the_next_claim_starts_right_behind_the_last_row_that_was_committed() {
    handle(START, row(1), row(2));

    ClaimWindow ahead = marks.next(START);
    assertLooks(ahead, Kind.AHEAD, "2026-01-01T12:00:02Z", "infinity");
    assertThat(ahead.fromNumber()).isEqualTo("{0,0,3,0}");
  }

  @Test
  void rows_of_one_due_time_are_told_apart_by_their_numbers() {
    handle(START, row(MEDIUM, 5, 100), row(MEDIUM, 5, 101));

    assertThat(marks.next(START).fromNumber()).isEqualTo("{0,0,102,0}");
  }

  @Test
  void each_priority_has_a_mark_of_its_own() {
    handle(START, row(CRITICAL, 5, 5), row(MEDIUM, 9, 9));

    assertThat(marks.next(START).fromAt())
        .startsWith("{2026-01-01T12:00:05Z,")
        .endsWith(",2026-01-01T12:00:09Z,-infinity}");
  }

  /** Or the dead rows of a priority that is rarely used would be walked by every claim. */
  @Test
  void a_priority_that_was_looked_through_to_its_end_is_marked_by_the_moment_of_the_claim() {
    marks.claimed(marks.next(START), List.of(row(MEDIUM, 9, 9)), false, CHEAP, START);

    assertThat(marks.next(START).fromAt())
        .isEqualTo(
            "{2026-01-01T12:00:00Z,2026-01-01T12:00:00Z,2026-01-01T12:00:09Z,2026-01-01T12:00:00Z}");
  }

  @Test
  void what_comes_after_the_last_row_of_a_full_claim_was_not_looked_at() {
    marks.claimed(marks.next(START), List.of(row(MEDIUM, 9, 9)), true, CHEAP, START);

    assertThat(marks.next(START).fromAt())
        .isEqualTo("{2026-01-01T12:00:00Z,2026-01-01T12:00:00Z,2026-01-01T12:00:09Z,-infinity}");
  }

  @Test
  void a_claim_that_is_not_committed_moves_nothing() {
    handle(START, row(1));
    marks.next(START);

    assertLooks(marks.next(START), Kind.AHEAD, "2026-01-01T12:00:01Z", "infinity");
  }

  @Test
  void what_is_given_back_moves_the_mark_back_to_its_first_row() {
    handle(START, row(1), row(2), row(3));
    marks.givenBack(List.of(row(2), row(3)));

    assertLooks(marks.next(START), Kind.AHEAD, "2026-01-01T12:00:02Z", "infinity");
  }

  /** Two slots: the second one's commit must not hide again what the first one gave back. */
  @Test
  void a_claim_from_before_the_mark_moved_back_does_not_move_it_forward() {
    handle(START, row(1));
    ClaimWindow first = marks.next(START);
    ClaimWindow second = marks.next(START);
    marks.givenBack(List.of(row(2), row(3)));
    commit(second, START, row(4), row(5));

    assertThat(first.kind()).isEqualTo(Kind.AHEAD);
    assertLooks(marks.next(START), Kind.AHEAD, "2026-01-01T12:00:01Z", "infinity");
  }

  /** Dropped since rows below the mark are free again, while a slot is at work above them. */
  @Test
  void interleaving_28_a_claim_from_before_the_marks_were_dropped_does_not_bring_them_back() {
    handle(START, row(7));
    ClaimWindow running = marks.next(START);
    marks.drop();
    commit(running, START, row(8));

    assertLooks(marks.next(START), Kind.AHEAD, "-infinity", "infinity");
  }

  @Test
  void a_mini_sweep_looks_at_the_last_second_below_the_mark() {
    handle(START, row(1));
    handle(at(400), row(2));
    handle(at(800), row(3));

    assertLooks(
        marks.next(at(820)), Kind.MINI_SWEEP, "2026-01-01T12:00:01Z", "2026-01-01T12:00:03Z");
  }

  @Test
  void a_mini_sweep_is_given_to_one_caller_every_20_ms() {
    handle(START, row(1));
    handle(at(100), row(2));

    assertThat(kinds(at(200), at(200), at(219), at(220)))
        .containsExactly(Kind.MINI_SWEEP, Kind.AHEAD, Kind.AHEAD, Kind.MINI_SWEEP);
  }

  @Test
  void a_mini_sweep_takes_a_thirtieth_of_the_time_at_most() {
    handle(START, row(1));
    handle(at(100), row(2));
    ClaimWindow sweep = marks.next(at(200));
    marks.claimed(sweep, List.of(), false, Duration.ofMillis(10), at(210));

    assertThat(kinds(at(509), at(510))).containsExactly(Kind.AHEAD, Kind.MINI_SWEEP);
  }

  @Test
  void there_is_nothing_to_sweep_where_the_mark_has_not_moved() {
    handle(START, row(1));

    assertThat(kinds(at(100), at(200), at(300)))
        .containsExactly(Kind.AHEAD, Kind.AHEAD, Kind.AHEAD);
  }

  @Test
  void a_full_sweep_looks_at_everything_below_the_mark_every_5_s() {
    handle(START, row(1));

    assertThat(marks.next(at(4_999)).kind()).isEqualTo(Kind.AHEAD);
    assertLooks(marks.next(at(5_000)), Kind.FULL_SWEEP, "-infinity", "2026-01-01T12:00:01Z");
    assertThat(marks.next(at(5_000)).kind()).isEqualTo(Kind.AHEAD);
  }

  @Test
  void a_full_sweep_takes_a_fiftieth_of_the_time_at_most() {
    handle(START, row(1));
    ClaimWindow sweep = marks.next(at(5_000));
    marks.claimed(sweep, List.of(), false, Duration.ofSeconds(1), at(6_000));

    assertThat(kinds(at(55_999), at(56_000))).containsExactly(Kind.AHEAD, Kind.FULL_SWEEP);
  }

  @Test
  void a_full_sweep_comes_sooner_when_there_is_something_to_find() {
    handle(START, row(1));
    marks.sweepSoon();

    assertThat(kinds(at(199), at(200), at(401)))
        .containsExactly(Kind.AHEAD, Kind.FULL_SWEEP, Kind.AHEAD);
  }

  /** A sleeper beside a busy worker makes every emitter notify. */
  @Test
  void interleaving_14_however_often_a_sweep_is_wanted_it_takes_a_fiftieth_of_the_time_at_most() {
    handle(START, row(1));
    marks.sweepSoon();
    ClaimWindow sweep = marks.next(at(300));
    marks.sweepSoon();
    marks.claimed(sweep, List.of(), false, Duration.ofMillis(100), at(400));
    marks.sweepSoon();

    assertThat(kinds(at(5_399), at(5_400))).containsExactly(Kind.AHEAD, Kind.FULL_SWEEP);
  }

  @Test
  void a_sweep_that_is_not_full_leaves_the_mark_where_it_is() {
    handle(START, row(50));
    ClaimWindow sweep = marks.next(at(5_000));
    marks.claimed(sweep, List.of(row(3)), false, CHEAP, at(5_001));

    assertLooks(marks.next(at(5_002)), Kind.AHEAD, "2026-01-01T12:00:50Z", "infinity");
  }

  /** A million rows that committed late are not taken one batch per sweep. */
  @Test
  void interleaving_16_a_sweep_that_fills_its_batch_moves_the_mark_back_to_its_first_row() {
    handle(START, row(50));
    ClaimWindow sweep = marks.next(at(5_000));
    marks.claimed(sweep, List.of(row(3), row(4)), true, CHEAP, at(5_001));

    assertLooks(marks.next(at(5_002)), Kind.AHEAD, "2026-01-01T12:00:03Z", "infinity");
  }

  /** A failover: what is born now is born below every mark. */
  @Test
  void interleaving_17_a_server_clock_behind_a_mark_drops_all_marks() {
    handle(START, row(CRITICAL, 1, 1), row(MEDIUM, 30, 2));
    marks.checkClock(NOON.plusSeconds(10));

    assertLooks(marks.next(START), Kind.AHEAD, "-infinity", "infinity");
    assertThat(marks.next(START).fromAt()).isEqualTo("{-infinity,-infinity,-infinity,-infinity}");
  }

  @Test
  void interleaving_17_a_server_clock_that_goes_on_drops_nothing() {
    handle(START, row(30));
    marks.checkClock(NOON.plusSeconds(30));

    assertLooks(marks.next(START), Kind.AHEAD, "2026-01-01T12:00:30Z", "infinity");
  }

  /** By hand, so that none of the sweeps of {@link LowWaterMarks#next} comes in between. */
  private void handle(long now, Delivery... rows) {
    ClaimWindow window = marks.next(now);
    while (window.kind() != Kind.AHEAD) {
      marks.claimed(window, List.of(), false, CHEAP, now);
      window = marks.next(now);
    }
    commit(window, now, rows);
  }

  private void commit(ClaimWindow window, long now, Delivery... rows) {
    marks.claimed(window, List.of(rows), true, CHEAP, now);
  }

  private List<Kind> kinds(long... moments) {
    return Arrays.stream(moments).mapToObj(now -> marks.next(now).kind()).toList();
  }

  private static long at(long millis) {
    return START + Duration.ofMillis(millis).toNanos();
  }

  private static void assertLooks(ClaimWindow window, Kind kind, String from, String to) {
    assertThat(window.kind()).isEqualTo(kind);
    assertThat(window.fromAt()).contains("," + from + ",");
    assertThat(window.toAt()).contains("," + to + ",");
  }

  private static Delivery row(int second) {
    return row(MEDIUM, second, second);
  }

  private static Delivery row(Priority priority, int second, long number) {
    return new Delivery(
        "(0,1)",
        NOON,
        (short) 1,
        (short) 0,
        priority,
        NOON.plusSeconds(second),
        number,
        (short) 0,
        0,
        Optional.empty());
  }
}
