package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.Lease;
import dev.cortex.events.delivery.LeaseEnd;
import dev.cortex.events.delivery.LeaseStore;
import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.event.Json;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Leases of workers by hand: who may do what under which fence. */
@ExtendWith(PostgresExtension.class)
class LeasesTest {
  private static final String TYPE = "test.leases";
  private static final int MINE = 1;
  private static final int OTHER = 2;

  /** Ends leases, and delays, an hour ago. */
  private static final String EXPIRE =
      "update cortex.deliveries set run_at = clock_timestamp() - interval '1 h' where run_at >"
          + " clock_timestamp()";

  private final TestEngine engine;
  private final LeaseStore store = new LeaseStore();
  private short handler;

  LeasesTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void a_handler() throws SQLException {
    engine.clear();
    handler = engine.subscribe("leases", TYPE);
    engine.run(
        "insert into cortex.event_types (type) values (?) on conflict do nothing", TYPE + "_next");
  }

  /** The key of a lease does not hold what a renewal moves. */
  @Test
  void interleaving_6_a_renewal_just_before_the_acknowledgement_costs_no_lease() throws Exception {
    engine.emit(TYPE, 1);
    try (Connection session = engine.session()) {
      Lease lease = lease(session, MINE);
      assertThat(renew(session, MINE, lease)).isEqualTo(Lease.Renewal.RENEWED);
      assertThat(store.acknowledge(session, lease, Optional.empty())).isTrue();
    }
    assertThat(engine.rows(TestEngine.ATTEMPTS, "leases")).containsExactly("0 done 1");
  }

  /** A handler may be a program here and Java code there; places are of transactions only. */
  @Test
  void a_lease_is_taken_also_when_transactions_have_all_places() throws Exception {
    engine.run("select cortex.limit_handler('leases', 1, 'test')");
    engine.emit(TYPE, 1);
    try (Connection session = engine.session();
        Connection holder = engine.begin()) {
      TestEngine.run(holder, "select from cortex.handler_places for no key update");
      assertThat(lease(session, MINE).isHeld()).isTrue();
    }
  }

  @Test
  void interleaving_6_an_older_fence_renews_acknowledges_settles_and_gives_back_nothing()
      throws Exception {
    engine.emit(TYPE, 1);
    try (Connection session = engine.session()) {
      Lease lost = lease(session, MINE);
      engine.run(EXPIRE);
      Lease held = lease(session, OTHER);
      assertThat(held.heldFence()).isEqualTo(lost.heldFence() + 1);
      assertThat(held.lostBy()).hasValue(MINE);

      assertThat(renew(session, MINE, lost)).isEqualTo(Lease.Renewal.GONE);
      assertThat(store.acknowledge(session, lost, Optional.empty())).isFalse();
      assertThat(store.settle(session, lost, Settlement.dead("handler_dead", ""))).isFalse();
      assertThat(store.settle(session, lost, Settlement.cancel(""))).isFalse();
      assertThat(store.giveBack(session, lost)).isFalse();

      assertThat(renew(session, OTHER, held)).isEqualTo(Lease.Renewal.RENEWED);
      assertThat(store.acknowledge(session, held, Optional.empty())).isTrue();
    }
    assertThat(engine.rows(TestEngine.ATTEMPTS, "leases"))
        .containsExactly("0 crash 1 lease_lost", "0 done 2");
  }

  /** The same worker may lease the same delivery again: its id is no token, the fence is. */
  @Test
  void interleaving_6_a_worker_that_leased_the_delivery_again_cannot_use_its_earlier_lease()
      throws Exception {
    engine.emit(TYPE, 1);
    try (Connection session = engine.session()) {
      Lease earlier = lease(session, MINE);
      assertThat(store.giveBack(session, earlier)).isTrue();
      Lease later = lease(session, MINE);
      assertThat(later.delivery().attempt()).as("charged so far").isZero();
      assertThat(store.acknowledge(session, earlier, Optional.empty())).isFalse();
      assertThat(store.acknowledge(session, later, Optional.empty())).isTrue();
    }
  }

  @Test
  void the_fence_rises_through_retries_and_a_settled_delivery_is_leased_by_nobody()
      throws Exception {
    engine.emit(TYPE, 1);
    List<Long> fences = new ArrayList<>();
    try (Connection session = engine.session()) {
      for (int i = 0; i < 3; i++) {
        Lease lease = lease(session, MINE);
        fences.add(lease.heldFence());
        Settlement again = Settlement.retry("handler_failed", "", Duration.ofHours(1));
        assertThat(store.settle(session, lease, again)).isTrue();
        assertThat(engine.text("select state from cortex.open_deliveries")).isEqualTo("retrying");
        engine.run(EXPIRE);
      }
    }
    assertThat(fences).containsExactly(1L, 2L, 3L);
  }

  @Test
  void a_lease_that_ran_out_is_renewed_while_nobody_has_taken_it() throws Exception {
    engine.emit(TYPE, 1);
    try (Connection session = engine.session()) {
      Lease lease = lease(session, MINE);
      engine.run(EXPIRE);
      assertThat(renew(session, MINE, lease)).isEqualTo(Lease.Renewal.RENEWED);
      assertThat(tryLease(session, OTHER)).isEmpty();
    }
  }

  /** Else one operator's open transaction would cost every lease of the process. */
  @Test
  void a_delivery_that_somebody_locks_keeps_no_other_from_being_renewed() throws Exception {
    engine.emit(TYPE, 2);
    try (Connection session = engine.session();
        Connection somebody = engine.begin()) {
      Lease locked = lease(session, MINE);
      Lease free = lease(session, MINE);
      TestEngine.run(
          somebody,
          "select 1 from cortex.deliveries where event = ? for update",
          locked.delivery().number());
      assertThat(store.renew(session, MINE, List.of(locked, free)))
          .containsExactly(Lease.Renewal.LOCKED, Lease.Renewal.RENEWED);
      somebody.rollback();
      assertThat(renew(session, MINE, locked)).isEqualTo(Lease.Renewal.RENEWED);
    }
  }

  @Test
  void an_event_that_is_gone_is_dead_and_never_leased() throws Exception {
    engine.emit(TYPE, 1);
    engine.runAsSuperuser("set session_replication_role = replica; delete from cortex.events");
    try (Connection session = engine.session()) {
      Lease dead = tryLease(session, MINE).orElseThrow();
      assertThat(dead.isHeld()).isFalse();
      assertThat(tryLease(session, MINE)).isEmpty();
    }
    assertThat(engine.text("select outcome || ' ' || reason from cortex.attempts"))
        .isEqualTo("dead event_gone");
  }

  /** Counted and added one after the other: nobody counts what the other one is about to add. */
  @Test
  void interleaving_24_two_that_lease_at_once_do_not_both_take_the_last_room() throws Exception {
    engine.emit(TYPE, 2);
    engine.run("select cortex.limit_running(?, 1::smallint)", handler);
    try (Connection one = engine.begin();
        Connection two = engine.session()) {
      assertThat(tryLease(one, MINE)).isPresent();
      CompletableFuture<Optional<Lease>> second =
          CompletableFuture.supplyAsync(() -> tryLease(two, OTHER));
      engine.awaitBlocked(two);
      one.commit();
      assertThat(second.get()).isEmpty();
    }
  }

  /** It is leased by a statement that began before, and so handed out whole. */
  @Test
  void an_event_that_is_committed_while_somebody_leases_comes_with_its_extensions()
      throws Exception {
    engine.run("select cortex.limit_running(?, 1::smallint)", handler);
    try (Connection first = engine.begin();
        Connection second = engine.session()) {
      TestEngine.run(
          first, "select pg_advisory_xact_lock(cortex.lease_lock_class(), ?::smallint)", handler);
      CompletableFuture<Optional<Lease>> leased =
          CompletableFuture.supplyAsync(() -> tryLease(second, MINE));
      engine.awaitBlocked(second);
      engine.run("select cortex.emit(?, 'test', extensions => '{\"version\": 2}')", TYPE);
      first.commit();
      assertThat(leased.get().orElseThrow().extensions())
          .isEqualTo(Json.parse("", "{\"version\": 2}"));
    }
  }

  /** A lease counts until it runs out, whatever became of the connection it was taken on. */
  @Test
  void interleaving_24_a_cut_connection_frees_no_room_and_a_lost_lease_keeps_none()
      throws Exception {
    engine.emit(TYPE, 3);
    engine.run("select cortex.limit_running(?, 1::smallint)", handler);
    Lease first;
    try (Connection session = engine.session()) {
      first = lease(session, MINE);
    }
    try (Connection session = engine.session()) {
      assertThat(tryLease(session, OTHER)).isEmpty();
      assertThat(isDue()).as("nobody is to try in vain").isEqualTo("f");
      engine.run(EXPIRE);
      assertThat(isDue()).isEqualTo("t");
      Lease rescued = lease(session, OTHER);
      assertThat(tryLease(session, MINE)).isEmpty();
      assertThat(store.acknowledge(session, first, Optional.empty())).isFalse();
      assertThat(store.acknowledge(session, rescued, Optional.empty())).isTrue();
      assertThat(tryLease(session, MINE)).isPresent();
    }
  }

  /** No verb gets in the way of what runs, and cancelling ends it. */
  @Test
  void operators_see_a_lease_as_running_and_only_a_cancel_takes_it_away() throws Exception {
    String id = engine.emit(TYPE, 1).get(0);
    try (Connection session = engine.session()) {
      Lease lease = lease(session, MINE);
      assertThat(engine.text("select state from cortex.open_deliveries")).isEqualTo("running");
      assertThat(engine.text("select sum(running) from cortex.queue_status")).isEqualTo("1");
      assertThat(engine.text("select cortex.retry(?, 'leases', 'a test')", id))
          .isEqualTo("running");
      assertThat(engine.text("select cortex.redrive('leases', 'a test')")).isEqualTo("0");
      engine.run("select cortex.pause_handler('leases', 'a test')");
      assertThat(renew(session, MINE, lease)).isEqualTo(Lease.Renewal.RENEWED);
      engine.run("select cortex.resume_handler('leases', 'a test')");
      assertThat(engine.text("select state from cortex.cancel(?, 'a test')", id))
          .isEqualTo("cancelled");
      assertThat(renew(session, MINE, lease)).isEqualTo(Lease.Renewal.GONE);
      assertThat(store.acknowledge(session, lease, Optional.empty())).isFalse();
      assertThat(engine.text("select state from cortex.deliveries_of(?)", id))
          .isEqualTo("cancelled");
    }
  }

  /**
   * A handler that is paused keeps what runs, and nobody rescues what it loses until it resumes.
   */
  @Test
  void a_paused_handler_leases_nothing_not_even_what_has_lost_its_lease() throws Exception {
    engine.emit(TYPE, 1);
    try (Connection session = engine.session()) {
      lease(session, MINE);
      engine.run("select cortex.pause_handler('leases', 'a test')");
      engine.run(EXPIRE);
      assertThat(tryLease(session, OTHER)).isEmpty();
      engine.run("select cortex.resume_handler('leases', 'a test')");
      assertThat(tryLease(session, OTHER)).isPresent();
    }
  }

  /** It lies behind what was due before its end, and is leased all the same. */
  @Test
  void a_lost_lease_is_found_by_its_end_and_leased_ahead_of_what_was_due_before() throws Exception {
    engine.emit(TYPE, 3);
    try (Connection session = engine.session()) {
      Lease lost = lease(session, MINE);
      Lease held = lease(session, MINE);
      engine.run(
          "update cortex.deliveries set run_at = clock_timestamp() where event = ?",
          lost.delivery().number());
      List<LeaseEnd> ends = store.ends(session, List.of(handler), 10);
      assertThat(ends).extracting(LeaseEnd::isLost).containsExactly(true, false);

      Lease rescued = lease(session, OTHER, ends.get(0).window()).orElseThrow();
      assertThat(rescued.delivery().number()).isEqualTo(lost.delivery().number());
      assertThat(rescued.lostBy()).hasValue(MINE);
      assertThat(lease(session, OTHER, ends.get(0).window())).as("once").isEmpty();
      assertThat(lease(session, OTHER, ends.get(1).window())).as("one that is held").isEmpty();
      assertThat(renew(session, MINE, held)).isEqualTo(Lease.Renewal.RENEWED);
      engine.run("select cortex.pause_handler('leases', 'a test')");
      assertThat(store.ends(session, List.of(handler), 10)).isEmpty();
      engine.run("select cortex.resume_handler('leases', 'a test')");
    }
  }

  /** What a program emits for a leased delivery, with what its environment tells it. */
  @Test
  void an_emit_that_names_a_lost_lease_is_refused() throws Exception {
    String id = engine.emit(TYPE, 1).get(0);
    try (Connection session = engine.session()) {
      Lease lease = lease(session, MINE);
      String emitted = emitUnder(session, id, "leases", lease.heldFence());
      assertThat(
              engine.text(
                  "select causation_id || causation_depth from cortex.event_log where event_id = ?",
                  emitted))
          .isEqualTo(id + "1");
      for (long forged : new long[] {0, lease.heldFence() + 1}) {
        assertRefused(session, id, "leases", forged);
      }
      assertRefused(session, id, "another", lease.heldFence());
      engine.run(EXPIRE);
      assertRefused(session, id, "leases", lease.heldFence());
      Lease next = lease(session, OTHER);
      assertRefused(session, id, "leases", lease.heldFence());
      store.acknowledge(session, next, Optional.empty());
      assertRefused(session, id, "leases", next.heldFence());
    }
  }

  /** Until it has ended, the delivery is nobody else's, and the lease goes on being renewed. */
  @Test
  void an_open_emit_under_a_lease_keeps_it_from_others_and_not_from_its_renewal() throws Exception {
    String id = engine.emit(TYPE, 1).get(0);
    try (Connection session = engine.session();
        Connection program = engine.begin()) {
      Lease lease = lease(session, MINE);
      emitUnder(program, id, "leases", lease.heldFence());
      assertThat(renew(session, MINE, lease)).isEqualTo(Lease.Renewal.RENEWED);
      engine.run(EXPIRE);
      assertThat(tryLease(session, OTHER)).isEmpty();
      program.commit();
      assertThat(tryLease(session, OTHER)).isPresent();
    }
  }

  private static String emitUnder(Connection connection, String cause, String handler, long fence)
      throws SQLException {
    return TestEngine.text(
        connection,
        "select cortex.emit(?, 'test', causation_id => ?, handler => ?, fence => ?)",
        TYPE + "_next",
        cause,
        handler,
        fence);
  }

  private static void assertRefused(
      Connection connection, String cause, String handler, long fence) {
    assertThatThrownBy(() -> emitUnder(connection, cause, handler, fence))
        .hasMessageContaining("must be that of a lease that is held");
  }

  private Lease lease(Connection session, int worker) {
    return tryLease(session, worker).filter(Lease::isHeld).orElseThrow();
  }

  private Optional<Lease> tryLease(Connection session, int worker) {
    return lease(session, worker, ClaimWindow.everything());
  }

  private Optional<Lease> lease(Connection session, int worker, ClaimWindow window) {
    try {
      return store.lease(session, handler, window, new Lease.Holder(worker, Duration.ofHours(1)));
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  private Lease.Renewal renew(Connection session, int worker, Lease lease) throws SQLException {
    return store.renew(session, worker, List.of(lease)).get(0);
  }

  private String isDue() throws SQLException {
    return engine.text(
        "select is_due and cortex.has_room(handler_id) from"
            + " cortex.due_handlers(array[?]::smallint[])",
        handler);
  }
}
