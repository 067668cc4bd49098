package dev.cortex.events.operate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.ConnectionPool;
import dev.cortex.events.database.PoolOptions;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** Numbers do not commit in order; a follower sees every committed event once all the same. */
@ExtendWith(PostgresExtension.class)
@Timeout(120)
class LogFollowerTest {
  private final TestQueue queue;
  private final EventReader reader;

  LogFollowerTest(TestDatabase database) {
    this.queue = new TestQueue(database);
    this.reader =
        new EventReader(new OperationsDatabase(database.address("cortex_auditor").dataSource()));
  }

  private LogFollower followerOf(String type) throws SQLException {
    queue.run("insert into cortex.event_types (type) values (?) on conflict do nothing", type);
    LogFollower follower = new LogFollower(reader, EventFilter.all().withType(type));
    follower.start();
    return follower;
  }

  private static List<String> look(LogFollower follower) {
    List<String> seen = new ArrayList<>();
    follower.look(event -> seen.add(event.event().id()));
    return seen;
  }

  private Connection open() throws SQLException {
    Connection connection = queue.connection();
    connection.setAutoCommit(false);
    return connection;
  }

  private static String emit(Connection connection, String type) throws SQLException {
    return TestQueue.text(connection, "select cortex.emit(?, 'test')", type);
  }

  @Test
  void an_event_that_commits_after_a_later_one_is_seen() throws SQLException {
    LogFollower follower = followerOf("late.commit");
    try (Connection slow = open()) {
      String first = emit(slow, "late.commit");
      String second = queue.emit("late.commit");
      assertThat(look(follower)).containsExactly(second);
      assertThat(look(follower)).isEmpty();
      slow.commit();
      assertThat(look(follower)).containsExactly(first);
      assertThat(look(follower)).isEmpty();
    }
  }

  @Test
  void an_emitter_that_was_open_before_the_follower_started_is_seen() throws SQLException {
    queue.run("insert into cortex.event_types (type) values ('open.before')");
    queue.emit("open.before");
    try (Connection slow = open()) {
      String first = emit(slow, "open.before");
      queue.emit("open.before");
      LogFollower follower = followerOf("open.before");
      assertThat(look(follower)).isEmpty();
      slow.commit();
      assertThat(look(follower)).containsExactly(first);
    }
  }

  @Test
  void overlapping_emitters_one_always_open_lose_nothing() throws SQLException {
    LogFollower follower = followerOf("always.open");
    Set<String> emitted = new HashSet<>();
    List<String> seen = new ArrayList<>();
    Connection open = open();
    emitted.add(emit(open, "always.open"));
    for (int round = 0; round < 10; round++) {
      Connection next = open();
      emitted.add(emit(next, "always.open"));
      seen.addAll(look(follower));
      emitted.add(emit(open, "always.open"));
      open.commit();
      open.close();
      seen.addAll(look(follower));
      open = next;
    }
    open.commit();
    open.close();
    seen.addAll(look(follower));
    assertThat(seen).doesNotHaveDuplicates().containsExactlyInAnyOrderElementsOf(emitted);
  }

  @Test
  void a_savepoint_that_is_rolled_back_hides_nothing_of_its_transaction() throws SQLException {
    LogFollower follower = followerOf("save.point");
    try (Connection slow = open()) {
      TestQueue.run(slow, "savepoint s");
      emit(slow, "save.point");
      TestQueue.run(slow, "rollback to savepoint s");
      assertThat(look(follower)).isEmpty();
      TestQueue.run(slow, "savepoint t");
      String kept = emit(slow, "save.point");
      assertThat(look(follower)).isEmpty();
      assertThat(look(follower)).isEmpty();
      slow.commit();
      assertThat(look(follower)).containsExactly(kept);
    }
  }

  @Test
  void gaps_of_rolled_back_events_are_forgotten() throws SQLException {
    LogFollower follower = followerOf("rolled.back");
    try (Connection slow = open()) {
      emit(slow, "rolled.back");
      look(follower);
      slow.rollback();
    }
    look(follower);
    look(follower);
    assertThat(follower.remembersGaps()).isFalse();
  }

  @Test
  void it_begins_where_it_is_told_to() throws SQLException {
    queue.run("insert into cortex.event_types (type) values ('since.then')");
    queue.emit("since.then");
    Instant since = Instant.parse(queue.text("select cortex.iso_time(clock_timestamp())"));
    String second = queue.emit("since.then");
    LogFollower follower =
        new LogFollower(reader, EventFilter.all().withType("since.then").withSince(since));
    follower.start();
    assertThat(look(follower)).containsExactly(second);
  }

  @Test
  void under_concurrent_emitters_of_every_length_everything_is_seen_once() throws Exception {
    LogFollower follower = followerOf("storm.event");
    AtomicBoolean emitting = new AtomicBoolean(true);
    List<CompletableFuture<Set<String>>> emitters = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      Random random = new Random(i);
      emitters.add(
          CompletableFuture.supplyAsync(() -> storm(random), work -> new Thread(work).start()));
    }
    Set<String> emitted = new HashSet<>();
    List<String> seen = new ArrayList<>();
    CompletableFuture<Void> all =
        CompletableFuture.allOf(emitters.toArray(CompletableFuture[]::new))
            .whenComplete((done, error) -> emitting.set(false));
    while (emitting.get()) {
      seen.addAll(look(follower));
    }
    all.join();
    seen.addAll(look(follower));
    for (CompletableFuture<Set<String>> emitter : emitters) {
      emitted.addAll(emitter.join());
    }
    assertThat(emitted).hasSizeGreaterThan(400);
    assertThat(seen).doesNotHaveDuplicates().containsExactlyInAnyOrderElementsOf(emitted);
  }

  @Test
  void a_committer_that_is_late_by_several_pages_of_others_is_seen() throws Exception {
    LogFollower follower = followerOf("late.pages");
    List<String> seen = new ArrayList<>();
    try (Connection slow = open();
        Connection slower = open()) {
      Set<String> late = new HashSet<>();
      late.add(emit(slow, "late.pages"));
      late.add(emit(slower, "late.pages"));
      List<CompletableFuture<Void>> others = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        others.add(
            CompletableFuture.runAsync(
                () -> emitMany("late.pages", 1_200), work -> new Thread(work).start()));
      }
      CompletableFuture<Void> all =
          CompletableFuture.allOf(others.toArray(CompletableFuture[]::new));
      while (!all.isDone()) {
        seen.addAll(look(follower));
      }
      all.join();
      late.add(emit(slow, "late.pages"));
      seen.addAll(look(follower));
      assertThat(seen).hasSize(3_600).doesNotHaveDuplicates().doesNotContainAnyElementsOf(late);
      slow.commit();
      seen.addAll(look(follower));
      slower.commit();
      seen.addAll(look(follower));
      assertThat(seen).hasSize(3_603).doesNotHaveDuplicates().containsAll(late);
    }
    assertThat(look(follower)).isEmpty();
  }

  /** In transactions of ten. */
  private void emitMany(String type, int events) {
    try (Connection connection = open()) {
      for (int i = 0; i < events; i++) {
        emit(connection, type);
        if (i % 10 == 9) {
          connection.commit();
        }
      }
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void a_reader_that_stands_still_holds_no_snapshot_and_reads_what_there_was_at_the_start()
      throws SQLException {
    queue.run("insert into cortex.event_types (type) values ('slow.reader')");
    emitMany("slow.reader", 1_300);
    List<String> seen = new ArrayList<>();
    List<String> open = new ArrayList<>();
    EventFilter filter = EventFilter.all().withType("slow.reader");
    reader.read(
        filter,
        event -> {
          seen.add(event.event().id());
          if (seen.size() % 400 == 1) {
            queue.uncheckedRun("select cortex.emit('slow.reader', 'meanwhile')");
            open.add(
                queue.uncheckedText(
                    """
                    select count(*) from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid() and usename like 'cortex_auditor%'
                       and (backend_xmin is not null or xact_start is not null)
                    """));
          }
          return true;
        });
    assertThat(seen).hasSize(1_300).doesNotHaveDuplicates();
    assertThat(open).hasSize(4).containsOnly("0");
  }

  /** The events of the transactions that were committed; a fifth is rolled back. */
  private Set<String> storm(Random random) {
    Set<String> committed = new HashSet<>();
    try (Connection connection = open()) {
      for (int i = 0; i < 80; i++) {
        Set<String> batch = new HashSet<>();
        for (int j = random.nextInt(5); j >= 0; j--) {
          batch.add(emit(connection, "storm.event"));
        }
        if (random.nextInt(5) == 0) {
          TestQueue.run(connection, "select pg_sleep(0.05)"); // an emitter that several looks pass
        }
        if (random.nextInt(5) == 0) {
          connection.rollback();
        } else {
          connection.commit();
          committed.addAll(batch);
        }
      }
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
    return committed;
  }

  @Test
  void it_ends_when_the_consumer_wants_no_more() throws SQLException {
    queue.run("insert into cortex.event_types (type) values ('no.more')");
    Instant since = Instant.parse(queue.text("select cortex.iso_time(clock_timestamp())"));
    queue.emit("no.more");
    queue.emit("no.more");
    List<String> seen = new ArrayList<>();
    queue
        .auditor()
        .follow(
            EventFilter.all().withType("no.*").withSince(since),
            Duration.ofMillis(10),
            event -> {
              seen.add(event.line());
              return false;
            },
            absence -> {});
    assertThat(seen).hasSize(1);
  }

  @Test
  void a_session_that_is_ended_in_mid_stream_costs_no_event_and_repeats_none() throws Exception {
    queue.run("insert into cortex.event_types (type) values ('cut.off')");
    Instant since = Instant.parse(queue.text("select cortex.iso_time(clock_timestamp())"));
    List<String> seen = new CopyOnWriteArrayList<>();
    AtomicInteger absences = new AtomicInteger();
    Set<String> emitted = new HashSet<>();
    try (ConnectionPool pool =
            ConnectionPool.open(
                queue.auditorAddress(), PoolOptions.of("cortex-follower-to-cut", 1));
        Connection slow = open()) {
      emitted.add(emit(slow, "cut.off"));
      Thread follower =
          new Thread(
              () ->
                  Operations.on(pool.dataSource())
                      .follow(
                          EventFilter.all().withType("cut.off").withSince(since),
                          Duration.ofMillis(1),
                          event -> seen.add(event.event().id()),
                          absence -> absences.incrementAndGet()));
      follower.start();
      for (int round = 1; round <= 5; round++) {
        int cuts = round;
        try (Connection quick = open()) {
          for (int i = 0; i < 50; i++) {
            emitted.add(emit(quick, "cut.off"));
            quick.commit();
          }
          emitted.add(emit(quick, "cut.off"));
          await()
              .until(
                  () -> {
                    queue.uncheckedText(
                        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                            + " where application_name = 'cortex-follower-to-cut'");
                    return absences.get() >= cuts;
                  });
          quick.commit();
        }
      }
      slow.commit();
      await().until(() -> seen.size() >= emitted.size());
      follower.interrupt();
      follower.join();
    }
    assertThat(seen).doesNotHaveDuplicates().containsExactlyInAnyOrderElementsOf(emitted);
  }
}
