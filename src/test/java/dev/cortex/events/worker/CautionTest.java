package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** What runs beside what, after a process has died. */
@ExtendWith(PostgresExtension.class)
@Timeout(60)
class CautionTest {
  private final TestDatabase database;
  private final Slot first = new Slot((short) 1);
  private final Slot second = new Slot((short) 2);

  CautionTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void a_batch_is_let_go_of_rather_than_held_until_a_suspect_has_ended() throws Exception {
    Caution caution =
        new Caution(database.address("cortex_worker").dataSource(), new WorkerStore(), 1, true);
    CountDownLatch runs = new CountDownLatch(1);
    CountDownLatch mayEnd = new CountDownLatch(1);
    CompletableFuture<Void> suspect =
        CompletableFuture.runAsync(() -> runAlone(caution, runs, mayEnd));
    runs.await();
    CountDownLatch hasRun = new CountDownLatch(1);

    assertThat(caution.beside(second, hasRun::countDown)).isFalse();

    assertThat(hasRun.getCount()).isEqualTo(1);
    mayEnd.countDown();
    caution.awaitNobodyAlone();
    assertThat(caution.beside(second, hasRun::countDown)).isTrue();
    assertThat(hasRun.getCount()).isZero();
    suspect.join();
  }

  @Test
  void batches_run_beside_each_other() throws Exception {
    Caution caution =
        new Caution(database.address("cortex_worker").dataSource(), new WorkerStore(), 1, true);
    CountDownLatch both = new CountDownLatch(2);
    assertThat(
            caution.beside(
                first,
                () -> {
                  both.countDown();
                  besideIt(caution, both);
                }))
        .isTrue();
    assertThat(both.getCount()).isZero();
  }

  private void besideIt(Caution caution, CountDownLatch both) {
    try {
      assertThat(caution.beside(second, both::countDown)).isTrue();
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  private void runAlone(Caution caution, CountDownLatch runs, CountDownLatch mayEnd) {
    try {
      caution.alone(
          first,
          () -> {
            runs.countDown();
            await(mayEnd);
          });
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
