package dev.cortex.events.fleet;

import java.util.List;

/**
 * The expired rows of one of the fleet's tables, and how they are removed.
 *
 * @param table without its schema
 * @param removal the statement; its parameter is how many rows at most. A row that another
 *     transaction holds is passed over
 */
record ExpiredRows(String table, String removal) {

  /** Of every table that rows expire in. */
  static final List<ExpiredRows> ALL =
      List.of(
          new ExpiredRows(
              "worker_health",
              """
              with expired as (
                select w.worker_id
                  from fleet.worker_health w
                 cross join fleet.settings s
                 where w.heard_at < clock_timestamp() - s.worker_kept_for
                 order by w.worker_id
                 limit ?
                   for update of w skip locked
              ), ended as (
                update fleet.stale_episodes e
                   set ended_at = clock_timestamp()
                  from expired x
                 where e.worker_id = x.worker_id
                   and e.ended_at is null
              )
              delete from fleet.worker_health w using expired x where w.worker_id = x.worker_id
              """),
          new ExpiredRows(
              "stale_episodes",
              """
              delete from fleet.stale_episodes
               where ctid = any (array(
                       select x.ctid
                         from fleet.stale_episodes x
                        cross join fleet.settings s
                        where x.ended_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "episodes",
              """
              delete from fleet.episodes
               where ctid = any (array(
                       select x.ctid
                         from fleet.episodes x
                        cross join fleet.settings s
                        where x.last_seen_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "alerts",
              """
              delete from fleet.alerts
               where ctid = any (array(
                       select x.ctid
                         from fleet.alerts x
                        cross join fleet.settings s
                        where x.received_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "task_steps",
              """
              delete from fleet.task_steps
               where ctid = any (array(
                       select x.ctid
                         from fleet.task_steps x
                        cross join fleet.settings s
                        where x.received_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "task_outcomes",
              """
              delete from fleet.task_outcomes
               where ctid = any (array(
                       select x.ctid
                         from fleet.task_outcomes x
                        cross join fleet.settings s
                        where x.received_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "failures",
              """
              delete from fleet.failures
               where ctid = any (array(
                       select x.ctid
                         from fleet.failures x
                        cross join fleet.settings s
                        where x.received_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "fixes",
              """
              delete from fleet.fixes
               where ctid = any (array(
                       select x.ctid
                         from fleet.fixes x
                        cross join fleet.settings s
                        where x.last_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "restarts",
              """
              delete from fleet.restarts
               where ctid = any (array(
                       select x.ctid
                         from fleet.restarts x
                        cross join fleet.settings s
                        where x.last_at < clock_timestamp() - greatest(s.record_kept_for, s.restart_window)
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "patterns",
              """
              delete from fleet.patterns
               where ctid = any (array(
                       select x.ctid
                         from fleet.patterns x
                        cross join fleet.settings s
                        where x.received_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "decisions",
              """
              delete from fleet.decisions
               where ctid = any (array(
                       select x.ctid
                         from fleet.decisions x
                        cross join fleet.settings s
                        where x.received_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "scans",
              """
              delete from fleet.scans
               where ctid = any (array(
                       select x.ctid
                         from fleet.scans x
                        cross join fleet.settings s
                        where x.received_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "vulnerabilities",
              """
              delete from fleet.vulnerabilities
               where ctid = any (array(
                       select x.ctid
                         from fleet.vulnerabilities x
                        cross join fleet.settings s
                        where x.received_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "metrics",
              """
              delete from fleet.metrics
               where ctid = any (array(
                       select x.ctid
                         from fleet.metrics x
                        cross join fleet.settings s
                        where x.minute < clock_timestamp() - s.metrics_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "startups",
              """
              delete from fleet.startups
               where ctid = any (array(
                       select x.ctid
                         from fleet.startups x
                        cross join fleet.settings s
                        where x.checked_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "shutdowns",
              """
              delete from fleet.shutdowns
               where ctid = any (array(
                       select x.ctid
                         from fleet.shutdowns x
                        cross join fleet.settings s
                        where x.checked_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """),
          new ExpiredRows(
              "cleanups",
              """
              delete from fleet.cleanups
               where ctid = any (array(
                       select x.ctid
                         from fleet.cleanups x
                        cross join fleet.settings s
                        where x.finished_at < clock_timestamp() - s.record_kept_for
                        limit ?
                          for update of x skip locked))
              """));
}
