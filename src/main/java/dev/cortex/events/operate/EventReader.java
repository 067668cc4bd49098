package dev.cortex.events.operate;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;
import org.jdbi.v3.core.statement.Query;

/** Reads the log. The statements that following needs give every number that is there. */
final class EventReader {
  /** Rows of a page, which is held in memory. */
  private static final int PAGE = 500;

  // A page after a number, up to the one that was the highest when the reading began. The primary
  // key's index leads to it in every partition.
  private static final String READ =
      """
      select l.*
        from cortex.event_log l
       where l.id > :after
         and l.id <= :last
         and l.received_at >= coalesce(:since::timestamptz, '-infinity')
         and l.received_at < coalesce(:until::timestamptz, 'infinity')
         and (:type::text is null or cortex.type_matches(l.type, :type))
         and (:source::text is null or l.source = :source)
         and (:correlation::text is null or l.correlation_id = :correlation)
         and (:priority::text is null or coalesce(l.priority, 'medium')::text = :priority)
       order by l.id
       limit :limit
      """;

  // The numbers of a page before one, the highest first: the primary keys' indexes, backwards.
  private static final String NEWEST =
      """
      select l.id
        from cortex.event_log l
       where l.id < :before
         and l.received_at >= coalesce(:since::timestamptz, '-infinity')
         and l.received_at < coalesce(:until::timestamptz, 'infinity')
         and (:type::text is null or cortex.type_matches(l.type, :type))
         and (:source::text is null or l.source = :source)
         and (:correlation::text is null or l.correlation_id = :correlation)
         and (:priority::text is null or coalesce(l.priority, 'medium')::text = :priority)
       order by l.id desc
       limit :limit
      """;

  // Every number in these ranges that is there, and the event only where it is asked for: what is
  // not there has to be told from what does not match, in one snapshot. The LIMIT within pins one
  // index probe per range; without it the planner walks the whole log and compares.
  private static final String LOOK =
      """
      select seen.*
        from unnest(:firsts::text::bigint[], :lasts::text::bigint[]) r(first, last)
       cross join lateral (
              select l.id, m.matches, l.event_id, l.type, l.source, l.occurred_at, l.received_at,
                     l.priority, l.correlation_id, l.causation_id, l.causation_depth, l.key,
                     case when m.matches then l.payload end as payload,
                     case when m.matches then l.metadata end as metadata,
                     case when m.matches then l.line end as line
                from cortex.event_log l
               cross join lateral (
                      select l.received_at >= coalesce(:since::timestamptz, '-infinity')
                         and l.received_at < coalesce(:until::timestamptz, 'infinity')
                         and (:type::text is null or cortex.type_matches(l.type, :type))
                         and (:source::text is null or l.source = :source)
                         and (:correlation::text is null or l.correlation_id = :correlation)
                         and (:priority::text is null
                              or coalesce(l.priority, 'medium')::text = :priority)
                             as matches) m
               where l.id between r.first and r.last
               order by l.id
               limit :limit) seen
       order by seen.id
       limit :limit
      """;

  private final OperationsDatabase database;

  EventReader(OperationsDatabase database) {
    this.database = database;
  }

  /**
   * What was committed when the reading began, page by page: between two pages no transaction is
   * open, so that a consumer that stands still pins nothing.
   */
  void read(EventFilter filter, Predicate<LoggedEvent> consumer) {
    read(filter, 0, horizon().lastId(), consumer);
  }

  /** Walks back as far as the first of them, holding no more than a page of numbers, and reads. */
  void readNewest(EventFilter filter, long count, Predicate<LoggedEvent> consumer) {
    long last = horizon().lastId();
    long first = last + 1;
    long missing = count;
    boolean isMore = true;
    while (missing > 0 && isMore) {
      int asked = (int) Math.min(PAGE, missing);
      List<Long> numbers = newest(filter, first, asked);
      first = numbers.isEmpty() ? first : numbers.get(numbers.size() - 1);
      missing -= numbers.size();
      isMore = numbers.size() == asked;
    }
    read(filter, first - 1, last, consumer);
  }

  private List<Long> newest(EventFilter filter, long before, int limit) {
    return database.ask(
        "events",
        handle ->
            bound(handle.createQuery(NEWEST), filter)
                .bind("before", before)
                .bind("limit", limit)
                .mapTo(Long.class)
                .list());
  }

  private void read(EventFilter filter, long from, long last, Predicate<LoggedEvent> consumer) {
    long after = from;
    List<Seen> page;
    do {
      page = page(filter, after, last);
      for (Seen seen : page) {
        if (!consumer.test(seen.event().orElseThrow())) {
          return;
        }
        after = seen.id();
      }
    } while (page.size() == PAGE);
  }

  private List<Seen> page(EventFilter filter, long after, long last) {
    return database.ask(
        "events",
        handle ->
            bound(handle.createQuery(READ), filter)
                .bind("after", after)
                .bind("last", last)
                .bind("limit", PAGE)
                .map(
                    (row, context) ->
                        new Seen(row.getLong("id"), Optional.of(loggedEvent(new Columns(row)))))
                .list());
  }

  /** The highest number given out, and the transactions that are emitting. */
  record Horizon(long lastId, List<String> emitters) {}

  /** To be asked before, and in another transaction than, the look at the log. */
  Horizon horizon() {
    return database.ask(
        "follow",
        handle ->
            handle
                .createQuery("select last_id, emitters from cortex.log_horizon()")
                .map(
                    (row, context) ->
                        new Horizon(row.getLong("last_id"), new Columns(row).texts("emitters")))
                .one());
  }

  /** The lowest number that was received at the filter's beginning or later. */
  Optional<Long> firstSince(EventFilter filter) {
    return database.ask(
        "follow",
        handle ->
            handle
                .createQuery(
                    "select min(l.id) from cortex.event_log l where l.received_at >= :since")
                .bind("since", OperationsDatabase.sqlTime(filter.since()))
                .mapTo(Long.class)
                .findOne());
  }

  /** The numbers of a range that are not there, as ranges, in one snapshot. */
  UnseenNumbers missing(long first, long last) {
    return database.ask(
        "follow",
        handle -> {
          UnseenNumbers missing = UnseenNumbers.of(first, last);
          handle
              .createQuery(
                  """
                  select min(n.id) as first, max(n.id) as last
                    from (select l.id, l.id - row_number() over (order by l.id) as run
                            from cortex.event_log l
                           where l.id between :first and :last) n
                   group by n.run
                  """)
              .bind("first", first)
              .bind("last", last)
              .map((row, context) -> new long[] {row.getLong(1), row.getLong(2)})
              .forEach(run -> missing.remove(run[0], run[1]));
          return missing;
        });
  }

  /** A number that is there, and its event where the filter matches. */
  record Seen(long id, Optional<LoggedEvent> event) {}

  /** What is there of these numbers, the lowest first, at most so many. */
  List<Seen> look(UnseenNumbers numbers, EventFilter filter, int limit) {
    if (numbers.isEmpty()) {
      return List.of();
    }
    return database.ask(
        "follow",
        handle ->
            bound(handle.createQuery(LOOK), filter)
                .bind("firsts", numbers.firsts())
                .bind("lasts", numbers.lasts())
                .bind("limit", limit)
                .map((row, context) -> seen(new Columns(row)))
                .list());
  }

  private static Query bound(Query query, EventFilter filter) {
    return query
        .bind("since", OperationsDatabase.sqlTime(filter.since()))
        .bind("until", OperationsDatabase.sqlTime(filter.until()))
        .bind("type", filter.type())
        .bind("source", filter.source())
        .bind("correlation", filter.correlationId())
        .bind("priority", filter.priority().map(Priority::label));
  }

  private static Seen seen(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new Seen(
        row.getLong("id"),
        row.getBoolean("matches") ? Optional.of(loggedEvent(columns)) : Optional.empty());
  }

  private static LoggedEvent loggedEvent(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    Event event =
        new Event(
            row.getString("event_id"),
            row.getString("type"),
            row.getString("source"),
            columns.certainMoment("occurred_at"),
            columns.certainMoment("received_at"),
            columns.priority("priority"),
            columns.optional("correlation_id"),
            columns.optional("causation_id"),
            row.getInt("causation_depth"),
            columns.optional("key"),
            columns.optional("payload").map(Json::stored).orElseGet(Json::empty),
            columns.optional("metadata").map(Json::stored).orElseGet(Json::empty));
    return new LoggedEvent(event, row.getString("line"));
  }
}
