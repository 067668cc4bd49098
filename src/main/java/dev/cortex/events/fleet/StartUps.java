package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.Supplier;

/**
 * Checks and counts at each daemon.started, and records it in {@code fleet.startups}.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>It warns of each handler of the fleet that no worker has made known or that is paused, of
 *       each of the fleet's schedules that is missing or disabled, and of free disk space under
 *       {@code disk_free_mb} (1024 MiB).
 *   <li>The disk space is what the event says ({@code payload.disk_free_mb}), else that of the
 *       directory in which the worker runs.
 *   <li>Counted are open tasks, and workers by their state.
 *   <li>Warnings raise one system.health_alert of priority medium: alert_type startup_warnings,
 *       subject the daemon ({@code payload.daemon}, {@code daemon_name} or {@code name}, else the
 *       source), warnings; once an episode.
 * </ul>
 *
 * <p>What is so now says nothing of a start of long ago: a replay, or an old event, is not checked
 * ({@link NewEvents}).
 *
 * <p>Any order does: what is recorded is what was so when it was checked.
 */
final class StartUps implements EventHandler {
  static final String NAME = "start-ups";

  private static final long BYTES_PER_MIB = 1L << 20;

  /** Parameters: names of handlers, free disk space in MiB. Result: a warning a row. */
  private static final String WARNINGS =
      """
      select 'handler ' || n.name || case when h.handler is null then ' is missing' else ' is paused' end as warning
        from unnest(?) as n(name)
        left join cortex.handler_status h on h.handler = n.name
       where h.handler is null
          or h.paused_at is not null
      union all
      select 'schedule ' || n.name || case when s.name is null then ' is missing' else ' is disabled' end
        from unnest(array['anomaly-check', 'daily-learning', 'stale-worker-check', 'weekly-cleanup']) as n(name)
        left join cortex.schedules s on s.name = n.name
       where s.name is null
          or not s.enabled
      union all
      select 'free disk space is ' || d.mb || ' MiB, less than ' || s.disk_free_mb
        from fleet.settings s
       cross join (values (?::bigint)) as d(mb)
       where d.mb < s.disk_free_mb
       order by warning
      """;

  /** Parameters: event id, daemon, started, warnings. */
  static final String RECORD =
      """
      insert into fleet.startups (event_id, daemon, started_at, warnings, counts)
      select ?, ?, ?, ?,
             (select jsonb_build_object('open_tasks', count(*)) from fleet.tasks t where t.state in ('created', 'assigned'))
             || coalesce((select jsonb_object_agg(p.state, p.n)
                            from (select w.state || '_workers' as state, count(*) as n from fleet.worker_pool w group by w.state) p),
                         '{}')
          on conflict (event_id) do nothing
      """;

  private final Supplier<List<String>> handlers;

  /**
   * @param handlers names of the handlers that have to be there
   */
  StartUps(Supplier<List<String>> handlers) {
    this.handlers = handlers;
  }

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    if (!NewEvents.isActedOn(event, context)) {
      return Outcome.done();
    }
    Payload payload = Payload.of(event);
    String daemon = Daemon.nameIn(event);
    Connection connection = context.connection();
    List<String> warnings =
        Sql.rows(
            connection,
            WARNINGS,
            row -> row.getString(1),
            handlers.get(),
            freeDiskMb(payload.count("disk_free_mb")));
    Sql.update(connection, RECORD, event.id(), daemon, Occurrence.of(event), warnings);
    List<Trouble> troubles = new ArrayList<>();
    if (!warnings.isEmpty()) {
      String message = "start-up of " + daemon + ": " + String.join("; ", warnings);
      troubles.add(
          new Trouble(
              "startup_warnings",
              daemon,
              Priority.MEDIUM,
              message,
              Map.of("warnings", warnings),
              event));
    }
    AlertEpisodes.see(connection, (draft, cause) -> context.emit(draft), NAME, troubles);
    return Outcome.done();
  }

  private static long freeDiskMb(OptionalLong stated) {
    try {
      return stated.isPresent()
          ? stated.getAsLong()
          : Files.getFileStore(Path.of("").toAbsolutePath()).getUsableSpace() / BYTES_PER_MIB;
    } catch (IOException e) {
      // Not to be told is no warning: a directory may be gone under a process that runs.
      return Long.MAX_VALUE;
    }
  }
}
