package dev.cortex.events.delivery;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Which event a claimed delivery comes with, whatever else is in the claim. */
@ExtendWith(PostgresExtension.class)
class ClaimedEventsTest {
  /**
   * Due in the opposite order to their emitting: one under an alias, one whose month is the next,
   * with a replay, and one that is gone.
   */
  private static final String MIXED_EVENTS =
      """
      insert into cortex.event_types (type, alias_of) values ('test.claimed', null), ('test.older', 'test.claimed');
      select cortex.register_handler('claims', 'transactional', 20::smallint, '30 s', array['test.claimed']);
      insert into cortex.events (type, source, received_at, payload) values
        ('test.older', 'this month', now(), '{"n": 1}'),
        ('test.claimed', 'next month', date_trunc('month', now()) + interval '40 days', '{"n": 2}'),
        ('test.claimed', 'gone', now(), '{"n": 3}');
      update cortex.deliveries set run_at = now() - event * interval '1 minute';
      insert into cortex.deliveries (handler_id, priority, run_at, event, event_at, generation)
      select d.handler_id, d.priority, d.run_at + interval '30 seconds', d.event, d.event_at, 1
        from cortex.deliveries d
        join cortex.events e on (e.id, e.received_at) = (d.event, d.event_at)
       where e.source = 'next month';
      delete from cortex.events where source = 'gone'
      """;

  private static final String CLAIM =
      """
      select concat_ws(' ', c.generation, c.event_found, c.type, c.source, c.payload)
        from cortex.claim(
               (select handler_id from cortex.handlers where name = 'claims'), 0::smallint,
               array_fill('-infinity'::timestamptz, array[4]), array_fill(0::bigint, array[4]),
               array_fill('infinity'::timestamptz, array[4]), array_fill(0::bigint, array[4]), 10) c
      """;

  private final TestDatabase database;

  ClaimedEventsTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void each_delivery_of_a_claim_comes_in_its_turn_and_with_its_own_event() throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(MIXED_EVENTS);

      assertThat(rows(statement, CLAIM))
          .containsExactly(
              "0 f",
              "0 t test.claimed next month {\"n\": 2}",
              "1 t test.claimed next month {\"n\": 2}",
              "0 t test.claimed this month {\"n\": 1}");
    }
  }

  private static List<String> rows(Statement statement, String sql) throws SQLException {
    List<String> texts = new ArrayList<>();
    try (ResultSet rows = statement.executeQuery(sql)) {
      while (rows.next()) {
        texts.add(rows.getString(1));
      }
    }
    return texts;
  }
}
