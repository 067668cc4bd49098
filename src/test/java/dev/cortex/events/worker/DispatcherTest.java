package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.worker.Dispatcher.Found;
import dev.cortex.events.worker.Dispatcher.Turn;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Which queue the next slot gets. */
class DispatcherTest {
  private final HandlerQueue a = queue("a", 1);
  private final HandlerQueue b = queue("b", 2);
  private final HandlerQueue c = queue("c", 3);
  private final AtomicInteger idleCalls = new AtomicInteger();
  private final Dispatcher dispatcher =
      new Dispatcher(List.of(a, b, c), idleCalls::incrementAndGet);

  @Test
  void at_first_every_queue_is_due() throws Exception {
    assertThat(List.of(take().queue(), take().queue(), take().queue())).containsExactly(a, b, c);
  }

  @Test
  void a_queue_gets_a_second_slot_only_while_its_claims_are_full() throws Exception {
    Turn first = take();
    dispatcher.claimed(first, Found.FULL);
    take();
    take();

    assertThat(take().queue()).isEqualTo(a);
    CompletableFuture<Optional<Turn>> waiting = takeElsewhere();
    assertThat(waiting).isNotDone();
    dispatcher.stop();
    assertThat(waiting.get()).isEmpty();
  }

  @Test
  void interleaving_21_the_queue_with_the_fewest_slots_comes_first() throws Exception {
    drain(b, c);
    for (int slot = 0; slot < 3; slot++) {
      dispatcher.claimed(take(), Found.FULL);
    }
    dispatcher.wake(b.handlerId());

    assertThat(take().queue()).isEqualTo(b);
    assertThat(take().queue()).isEqualTo(a);
  }

  @Test
  void interleaving_21_among_equals_the_one_that_has_waited_longest_comes_first() throws Exception {
    List<HandlerQueue> served = new ArrayList<>();
    for (int turn = 0; turn < 9; turn++) {
      Turn taken = take();
      served.add(taken.queue());
      dispatcher.claimed(taken, Found.FULL);
      dispatcher.done(taken);
    }
    assertThat(served).containsExactly(a, b, c, a, b, c, a, b, c);
  }

  @Test
  void a_queue_whose_claim_found_nothing_is_not_due_until_it_is_woken() throws Exception {
    drain(a, b, c);
    CompletableFuture<Optional<Turn>> waiting = takeElsewhere();
    dispatcher.wake(b.handlerId());

    assertThat(waiting.get().orElseThrow().queue()).isEqualTo(b);
  }

  @Test
  void a_queue_whose_claim_found_some_stays_due() throws Exception {
    Turn turn = take();
    dispatcher.claimed(turn, Found.SOME);
    dispatcher.done(turn);

    assertThat(dispatcher.unwatched()).isEmpty();
  }

  /** Emitted after the claim looked and before it said that there was nothing. */
  @Test
  void interleaving_15_a_wake_up_during_a_claim_outlives_its_emptiness() throws Exception {
    Turn turn = take();
    dispatcher.wake(a.handlerId());
    dispatcher.claimed(turn, Found.NOTHING);
    dispatcher.done(turn);

    assertThat(dispatcher.unwatched()).doesNotContain(a);
  }

  /** What it was woken for may lie below its marks. */
  @Test
  void interleaving_13_the_first_claim_after_a_wake_up_looks_at_the_whole_queue() throws Exception {
    drain(a, b, c);
    handleOne(a);
    dispatcher.wake(a.handlerId());

    assertThat(aMomentLater(a)).isEqualTo(ClaimWindow.Kind.AHEAD);
  }

  /** Else every notification of a busy queue would make a claim walk over all dead rows. */
  @Test
  void interleaving_14_a_wake_up_of_a_queue_that_is_worked_keeps_its_marks() throws Exception {
    handleOne(a);
    dispatcher.wake(a.handlerId());

    assertThat(aMomentLater(a)).isEqualTo(ClaimWindow.Kind.FULL_SWEEP);
  }

  @Test
  void a_wake_up_of_all_makes_every_queue_due() throws Exception {
    drain(a, b, c);
    assertThat(dispatcher.unwatched()).containsExactly(a, b, c);
    dispatcher.wakeAll();

    assertThat(dispatcher.unwatched()).isEmpty();
  }

  @Test
  void it_is_idle_when_nothing_is_due_and_no_slot_works_and_says_so_once_the_last_one_ends()
      throws Exception {
    drain(b, c);
    Turn last = take();
    idleCalls.set(0);
    dispatcher.claimed(last, Found.NOTHING);
    assertThat(dispatcher.isIdle()).isFalse();
    dispatcher.done(last);

    assertThat(dispatcher.isIdle()).isTrue();
    assertThat(idleCalls).hasValue(1);
  }

  @Test
  void after_stop_nobody_gets_a_turn() throws Exception {
    CompletableFuture<Optional<Turn>> waiting;
    drain(a, b, c);
    waiting = takeElsewhere();
    dispatcher.stop();

    assertThat(waiting.get()).isEmpty();
    dispatcher.wakeAll();
    assertThat(dispatcher.take()).isEmpty();
  }

  private Turn take() throws InterruptedException {
    return dispatcher.take().orElseThrow();
  }

  private CompletableFuture<Optional<Turn>> takeElsewhere() {
    return CompletableFuture.supplyAsync(
        () -> {
          try {
            return dispatcher.take();
          } catch (InterruptedException e) {
            throw new IllegalStateException(e);
          }
        });
  }

  /** Leaves these queues empty and gives the others' turns back. */
  private void drain(HandlerQueue... empty) throws InterruptedException {
    List<Turn> turns = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      turns.add(take());
    }
    for (Turn turn : turns) {
      dispatcher.claimed(turn, List.of(empty).contains(turn.queue()) ? Found.NOTHING : Found.SOME);
      dispatcher.done(turn);
    }
  }

  private static void handleOne(HandlerQueue queue) {
    ClaimWindow window = queue.marks().next(System.nanoTime());
    Delivery delivery =
        new Delivery(
            "(0,1)",
            Instant.EPOCH,
            queue.handlerId(),
            (short) 0,
            Priority.MEDIUM,
            Instant.EPOCH,
            1,
            (short) 0,
            0,
            Optional.empty());
    queue.marks().claimed(window, List.of(delivery), false, Duration.ZERO, System.nanoTime());
  }

  /** Only below a mark is there anything to sweep: without marks all of the queue lies ahead. */
  private static ClaimWindow.Kind aMomentLater(HandlerQueue queue) {
    return queue.marks().next(System.nanoTime() + Duration.ofSeconds(1).toNanos()).kind();
  }

  private static HandlerQueue queue(String name, int handlerId) {
    return new HandlerQueue(
        HandlerDefinition.oneByOne(name, (event, context) -> Outcome.done()), (short) handlerId);
  }
}
