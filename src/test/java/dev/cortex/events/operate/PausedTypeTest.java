package dev.cortex.events.operate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.SQLException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** Interleaving 20: pausing a type moves its rows out of the claim's way, in bounded steps. */
@ExtendWith(PostgresExtension.class)
@Timeout(60)
class PausedTypeTest {
  private final TestQueue queue;
  private final Operations operator;

  PausedTypeTest(TestDatabase database) {
    this.queue = new TestQueue(database);
    this.operator = queue.operator();
  }

  @Test
  void pausing_moves_five_thousand_rows_in_steps_and_resuming_moves_them_back()
      throws SQLException {
    queue.handler("many", "many.event");
    queue.handler("many", "many.other");
    queue.run(
        """
        insert into cortex.events (type, source)
        select case when i % 2 = 0 then 'many.event' else 'many.other' end, 'test'
          from generate_series(1, 10000) i
        """);

    assertThat(operator.pauseType("many.event", "flood").moved()).isEqualTo(5_000);
    assertThat(lanes("many")).isEqualTo("-1:5000,0:5000");

    assertThat(operator.resumeType("many.event", "flood is over").moved()).isEqualTo(5_000);
    assertThat(lanes("many")).isEqualTo("0:10000");
    settle();
    assertThat(heldTypes("many.event")).isEqualTo("0");
  }

  @Test
  void one_step_looks_at_no_more_rows_than_it_may() throws SQLException {
    queue.handler("step", "step.event");
    queue.run(
        "insert into cortex.events (type, source)"
            + " select 'step.event', 'test' from generate_series(1, 300)");
    assertThat(queue.text("select moved from cortex.pause_type('step.event', 'r', 100)"))
        .isEqualTo("100");
    assertThat(lanes("step")).isEqualTo("-1:100,0:200");
  }

  /**
   * A step that ends in the middle of a handler's deliveries goes on there, not at the next
   * handler.
   */
  @Test
  void steps_smaller_than_the_backlog_of_each_of_two_handlers_pass_nothing_over()
      throws SQLException {
    queue.handler("former", "shared.event");
    queue.handler("latter", "shared.event");
    queue.run(
        "insert into cortex.events (type, source)"
            + " select 'shared.event', 'test' from generate_series(1, 250)");

    queue.text("select moved from cortex.pause_type('shared.event', 'r', 100)");
    settleInStepsOf(100);
    assertThat(lanes("former")).isEqualTo("-1:250");
    assertThat(lanes("latter")).isEqualTo("-1:250");

    queue.text("select moved from cortex.resume_type('shared.event', 'r', 100)");
    settleInStepsOf(100);
    assertThat(lanes("former")).isEqualTo("0:250");
    assertThat(lanes("latter")).isEqualTo("0:250");
  }

  private void settleInStepsOf(int deliveries) throws SQLException {
    while (!queue.text("select count(*) from cortex.held_types where not settled").equals("0")) {
      queue.run("select cortex.move_held(%d)".formatted(deliveries));
    }
  }

  @Test
  void new_events_of_a_paused_type_are_held_and_shown_so() throws SQLException {
    queue.handler("later", "later.event");
    operator.pauseType("later.event", "stop");
    queue.emit("later.event");
    assertThat(queue.states("later")).isEqualTo("held");
    operator.resumeType("later.event", "go");
    assertThat(queue.states("later")).isEqualTo("available");
  }

  @Test
  void what_a_worker_holds_stays_where_it_is_and_the_pause_goes_on_without_it()
      throws SQLException {
    queue.handler("busy", "busy.event");
    queue.emit("busy.event");
    try (Connection worker = queue.claim("busy")) {
      assertThat(operator.pauseType("busy.event", "stop")).isEqualTo(new TypeMove(0, false));
      worker.rollback();
    }
    assertThat(operator.pauseType("busy.event", "still").moved()).isEqualTo(1);
    assertThat(queue.states("busy")).isEqualTo("held");
  }

  @Test
  void an_emitter_that_was_open_during_a_pause_is_held_too() throws SQLException {
    queue.handler("open", "open.event");
    try (Connection emitter = queue.connection()) {
      emitter.setAutoCommit(false);
      TestQueue.run(emitter, "select cortex.emit('open.event', 'test')");
      assertThat(operator.pauseType("open.event", "stop").settled()).isFalse();
      emitter.commit();
    }
    assertThat(queue.states("open")).isEqualTo("available");
    settle();
    assertThat(queue.states("open")).isEqualTo("held");
  }

  @Test
  void an_emitter_that_was_open_during_a_resumption_leaves_nothing_in_the_held_lane()
      throws SQLException {
    queue.handler("stuck", "stuck.event");
    operator.pauseType("stuck.event", "stop");
    try (Connection emitter = queue.connection()) {
      emitter.setAutoCommit(false);
      TestQueue.run(emitter, "select cortex.emit('stuck.event', 'test')");
      assertThat(operator.resumeType("stuck.event", "go").settled()).isFalse();
      emitter.commit();
    }
    assertThat(queue.states("stuck")).isEqualTo("held");
    settle();
    assertThat(queue.states("stuck")).isEqualTo("available");
    assertThat(heldTypes("stuck.event")).isEqualTo("0");
  }

  @Test
  void a_dead_letter_of_a_paused_type_is_redriven_into_the_held_lane() throws SQLException {
    queue.handler("dead-held", "dead.held");
    String event = queue.emit("dead.held");
    queue.kill("dead-held");
    operator.pauseType("dead.held", "stop");
    assertThat(operator.retry(event, "dead-held", "r")).isEqualTo(DeliveryState.HELD);
    operator.resumeType("dead.held", "go");
    assertThat(queue.states("dead-held")).isEqualTo("available");
  }

  @Test
  void an_emitter_with_a_snapshot_older_than_a_resumption_has_to_try_again() throws SQLException {
    queue.handler("old", "old.event");
    operator.pauseType("old.event", "stop");
    try (Connection emitter = queue.connection()) {
      emitter.setAutoCommit(false);
      emitter.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      TestQueue.run(emitter, "select 1");
      operator.resumeType("old.event", "go");
      settle();
      assertThatThrownBy(() -> TestQueue.run(emitter, "select cortex.emit('old.event', 'test')"))
          .isInstanceOfSatisfying(
              SQLException.class, e -> assertThat(e.getSQLState()).isEqualTo("40001"));
      emitter.rollback();
      TestQueue.run(emitter, "select cortex.emit('old.event', 'test')");
      emitter.commit();
    }
    assertThat(queue.states("old")).isEqualTo("available");
  }

  @Test
  void a_pause_that_cannot_settle_writes_no_more_than_once() throws SQLException {
    queue.handler("quiet", "quiet.event");
    try (Connection open = queue.connection()) {
      open.setAutoCommit(false);
      TestQueue.run(open, "select cortex.emit('quiet.event', 'test')");
      operator.pauseType("quiet.event", "stop");
      queue.run("select cortex.move_held()");
      String version = queue.text("select xmin from cortex.held_types where type = 'quiet.event'");
      queue.run("select cortex.move_held()");
      assertThat(queue.text("select xmin from cortex.held_types where type = 'quiet.event'"))
          .isEqualTo(version);
      open.rollback();
    }
  }

  @Test
  void a_resumption_finds_what_is_held_for_a_handler_that_is_subscribed_no_more()
      throws SQLException {
    queue.handler("gone", "gone.event");
    operator.pauseType("gone.event", "stop");
    queue.emit("gone.event");
    queue.run("delete from cortex.subscriptions where pattern = 'gone.event'");
    operator.resumeType("gone.event", "go");
    assertThat(queue.states("gone")).isEqualTo("available");
  }

  @Test
  void an_alias_pauses_its_canonical_type() throws SQLException {
    queue.handler("aliased", "aliased.event");
    queue.run(
        "insert into cortex.event_types (type, alias_of) values ('aliased.too', 'aliased.event')");
    queue.emit("aliased.event");
    queue.emit("aliased.too");
    assertThat(operator.pauseType("aliased.too", "stop").moved()).isEqualTo(2);
    queue.emit("aliased.too");
    assertThat(queue.states("aliased")).isEqualTo("held");
  }

  /** What the workers' upkeep does; it waits for every open transaction of the whole server. */
  private void settle() {
    await()
        .until(
            () ->
                queue
                    .text("select count(*) filter (where not settled) from cortex.move_held()")
                    .equals("0"));
  }

  private String heldTypes(String type) throws SQLException {
    return queue.text("select count(*) from cortex.held_types where type = ?", type);
  }

  private String lanes(String handler) throws SQLException {
    return queue.text(
        """
        select string_agg(lane || ':' || n, ',' order by lane)
          from (select lane, count(*) as n from cortex.open_deliveries
                 where handler = ? group by lane) l
        """,
        handler);
  }
}
