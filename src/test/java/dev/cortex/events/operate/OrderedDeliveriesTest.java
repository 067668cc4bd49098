package dev.cortex.events.operate;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInfo;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** Interleaving 2: what is done to a key's delivery tells its lane, and keeps out of a busy one. */
@ExtendWith(PostgresExtension.class)
@Timeout(60)
class OrderedDeliveriesTest {
  private final TestQueue queue;
  private final Operations operator;
  private String handler = "";
  private String event = "";

  OrderedDeliveriesTest(TestDatabase database) {
    this.queue = new TestQueue(database);
    this.operator = queue.operator();
  }

  /** A handler with one lane, whose head of key k has failed once and waits for an hour. */
  @BeforeEach
  void failHead(TestInfo test) throws SQLException {
    int number = Math.floorMod(test.getDisplayName().hashCode(), 1_000_000);
    handler = "ordered-" + number;
    String type = "ordered.t" + number;
    queue.handler(handler, type);
    queue.run("update cortex.handlers set lanes = 1 where name = ?", handler);
    event = queue.text("select cortex.emit(?, 'test', key => 'k')", type);
    queue.run("update cortex.deliveries set attempt = 1 where key = 'k'");
    queue.run(
        """
        insert into cortex.blocked_keys (handler_id, lane, key, event, blocked_until)
        select h.handler_id, 1, 'k', l.id, now() + interval '1 h'
          from cortex.handlers h, cortex.locate_event(?) l
         where h.name = ?
        """,
        event,
        handler);
    queue.run(
        "insert into cortex.lanes (handler_id, lane) select handler_id, 1 from cortex.handlers"
            + " where name = ?",
        handler);
  }

  @Test
  void retrying_the_head_unblocks_its_key_and_bumps_the_lane() throws SQLException {
    assertThat(queue.states(handler)).isEqualTo("retrying");
    assertThat(operator.retry(event, handler, "r")).isEqualTo(DeliveryState.AVAILABLE);
    assertThat(version()).isEqualTo("1");
  }

  @Test
  void cancelling_the_head_lets_its_key_go_on() throws SQLException {
    operator.cancel(event, Optional.of(handler), "r");
    assertThat(version()).isEqualTo("1");
    assertThat(blocked()).isEqualTo("0");
  }

  @Test
  void nothing_is_done_in_a_lane_that_a_worker_is_in() throws SQLException {
    try (Connection worker = queue.connection()) {
      worker.setAutoCommit(false);
      TestQueue.run(worker, "select 1 from cortex.lanes for no key update");
      assertThat(operator.retry(event, handler, "r")).isEqualTo(DeliveryState.RUNNING);
      assertThat(operator.cancel(event, Optional.of(handler), "r"))
          .containsExactly(new Cancellation(handler, 0, DeliveryState.RUNNING));
      worker.rollback();
    }
    assertThat(version()).isEqualTo("0");
    assertThat(blocked()).isEqualTo("1");
  }

  private String version() throws SQLException {
    return queue.text(
        """
        select version from cortex.lanes
         where handler_id = (select handler_id from cortex.handlers where name = ?)
        """,
        handler);
  }

  private String blocked() throws SQLException {
    return queue.text(
        """
        select count(*) from cortex.blocked_keys
         where handler_id = (select handler_id from cortex.handlers where name = ?)
        """,
        handler);
  }
}
