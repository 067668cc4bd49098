package dev.cortex.events.bench;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;

/**
 * The server's own limit of draining: one statement moves a thousand deliveries and writes their
 * audit (and their effect, where the workload has one), a commit each.
 *
 * @param hasEffect whether a row is inserted for each event
 */
record DrainFloor(Ground ground, boolean hasEffect) implements Contender {
  private static final int BATCH = 1_000;

  private static final String MOVE =
      """
      with moved as (
        delete from cortex.deliveries d
         where d.ctid = any (array(
                 select x.ctid
                   from cortex.deliveries x
                  where x.handler_id = (select handler_id from cortex.handlers where name = 'bench')
                    and x.lane = 0
                    and x.priority = 'medium'
                    and x.run_at <= clock_timestamp()
                  order by x.run_at, x.event
                  limit ?
                    for update skip locked))
        returning event, event_at, handler_id, generation, attempt
      ),
      effected as (
        insert into cortex_bench.effects (event_id)
        select cortex.public_event_id(event, event_at)
          from moved
         where ?
      )
      insert into cortex.attempts (event, event_at, started_at, outcome, handler_id, generation, attempt)
      select event, event_at, now(), 'done', handler_id, generation, attempt + 1
        from moved
      """;

  @Override
  public String name() {
    return "floor";
  }

  @Override
  public void prepare(int events) throws SQLException {
    ground.refill(events);
  }

  @Override
  public void run(int events) throws SQLException {
    try (Connection connection = ground.pool().connection();
        PreparedStatement statement = connection.prepareStatement(MOVE)) {
      statement.setInt(1, BATCH);
      statement.setBoolean(2, hasEffect);
      while (statement.executeUpdate() > 0) {
        // The next thousand.
      }
    }
  }
}
