package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.HandlerDefinition.Leased;
import dev.cortex.events.handler.LeaseContext;
import dev.cortex.events.handler.LeasedHandler;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Set;
import javax.sql.DataSource;

/**
 * Scripts of the old system whose work several handlers do now, so that none of them can be the
 * script's other implementation ({@code fleet.scripts}). Such a script is a handler of its own, and
 * {@code cortex implement} chooses who acts:
 *
 * <ul>
 *   <li>java, unless chosen otherwise: the handlers act, and the script's deliveries are cancelled;
 *   <li>program: the script runs, and the handlers record the events and do not act on them ({@link
 *       NewEvents}).
 * </ul>
 *
 * <p>Which of the two an event belongs to is what was chosen when it was received ({@code
 * fleet.left_to_scripts}), so that it is acted on once, however late either comes to it. A replay,
 * which the handlers never act on, runs the script if it is chosen now.
 */
public final class Scripts {
  /** Their names; {@code fleet.scripts} says the same. */
  public static final Set<String> NAMES =
      Set.of(
          "on-task-created",
          "on-task-assigned",
          "on-task-failure",
          "on-worker-failed",
          "on-worker-heartbeat");

  /** Parameters: script, generation, received. Result: one boolean. */
  private static final String IS_LEFT_TO_IT =
      """
      select exists (
               select
                 from fleet.left_to_scripts l
                where l.script = ?
                  and case when ? > 0 then l.ends_at is null
                           else l.starts_at <= o.received_at and coalesce(l.ends_at > o.received_at, true) end)
        from (select ?::timestamptz as received_at) o
      """;

  private Scripts() {}

  /**
   * The same programs, of which these run only for what is left to them.
   *
   * @param database where that is looked up, as a worker
   */
  public static List<HandlerDefinition> inTurn(
      List<HandlerDefinition> programs, DataSource database) {
    return programs.stream().map(program -> inTurn(program, database)).toList();
  }

  private static HandlerDefinition inTurn(HandlerDefinition program, DataSource database) {
    if (!NAMES.contains(program.name()) || !(program.work() instanceof Leased work)) {
      return program;
    }
    return new HandlerDefinition(
        program.name(),
        program.patterns(),
        new Leased(new InTurn(work.handler(), database), work.lease()),
        program.retry(),
        program.maxBatch(),
        program.timeBudget(),
        program.requirement(),
        program.order(),
        program.maxRunning(),
        program.maxEmitted());
  }

  private record InTurn(LeasedHandler program, DataSource database) implements LeasedHandler {
    @Override
    public Outcome handle(Event event, LeaseContext context) throws Exception {
      return isLeftToIt(event, context)
          ? program.handle(event, context)
          : Outcome.cancel("left to Java code, which was chosen when it was received");
    }

    private boolean isLeftToIt(Event event, LeaseContext context) throws SQLException {
      try (Connection connection = database.getConnection()) {
        return Sql.rows(
                connection,
                IS_LEFT_TO_IT,
                row -> row.getBoolean(1),
                context.handler(),
                context.generation(),
                event.receivedAt())
            .get(0);
      }
    }
  }
}
