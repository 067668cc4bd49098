package dev.cortex.events.operate;

import dev.cortex.events.event.Priority;
import dev.cortex.events.operate.ReplayedEvent.Delivery;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jdbi.v3.core.Handle;
import org.jspecify.annotations.Nullable;

/** Replays, in portions of a transaction each, and what has become of them. */
final class Replays {
  /** Deliveries made per transaction. */
  private static final int PORTION = 1_000;

  /** Events asked about at once: some thousand probes of the audit. */
  private static final int ASKED_AT_ONCE = 1_000;

  private final OperationsDatabase database;

  Replays(OperationsDatabase database) {
    this.database = database;
  }

  void replay(ReplayRequest request, String reason, Consumer<ReplayedEvent> consumer) {
    portions(request, reason, false, consumer);
  }

  void preview(ReplayRequest request, Consumer<ReplayedEvent> consumer) {
    portions(request, null, true, consumer);
  }

  private void portions(
      ReplayRequest request,
      @Nullable String reason,
      boolean isDryRun,
      Consumer<ReplayedEvent> consumer) {
    OptionalLong after = OptionalLong.of(0);
    while (after.isPresent()) {
      long from = after.getAsLong();
      Portion portion =
          database.ask("replay", handle -> portion(handle, request, reason, isDryRun, from));
      portion.events().forEach(consumer);
      after = portion.lookedTo();
    }
  }

  /** What one call has done; without a place to go on from, it was the last. */
  private record Portion(List<ReplayedEvent> events, OptionalLong lookedTo) {}

  private record Row(
      long number,
      Instant receivedAt,
      String eventId,
      String type,
      Optional<String> handler,
      int generation) {}

  private static Portion portion(
      Handle handle, ReplayRequest request, @Nullable String reason, boolean isDryRun, long after) {
    Map<Long, List<Row>> rows = new LinkedHashMap<>();
    OptionalLong[] lookedTo = {OptionalLong.empty()};
    handle
        .createQuery(
            """
            select *
              from cortex.replay(
                     reason => :reason, event_id => :eventId, day => :day::date, type => :type,
                     source => :source, priority => :priority, correlation_id => :correlationId,
                     handler => :handler, after => :after, max_deliveries => :portion,
                     dry_run => :dryRun)
            """)
        .bind("reason", reason)
        .bind("eventId", request.eventId())
        .bind("day", request.day().map(LocalDate::toString))
        .bind("type", request.type())
        .bind("source", request.source())
        .bind("priority", request.priority().map(Priority::label))
        .bind("correlationId", request.correlationId())
        .bind("handler", request.handler())
        .bind("after", after)
        .bind("portion", PORTION)
        .bind("dryRun", isDryRun)
        .map(
            (row, context) -> {
              long place = row.getLong("looked_to");
              if (!row.wasNull()) {
                lookedTo[0] = OptionalLong.of(place);
                return Optional.<Row>empty();
              }
              return Optional.of(row(new Columns(row)));
            })
        .forEach(
            found ->
                found.ifPresent(
                    row ->
                        rows.computeIfAbsent(row.number(), number -> new ArrayList<>()).add(row)));
    return new Portion(rows.values().stream().map(Replays::event).toList(), lookedTo[0]);
  }

  private static Row row(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new Row(
        row.getLong("event"),
        columns.certainMoment("event_at"),
        row.getString("replayed"),
        row.getString("event_type"),
        columns.optional("delivery_to"),
        row.getInt("generation"));
  }

  private static ReplayedEvent event(List<Row> rows) {
    Row first = rows.get(0);
    List<Delivery> deliveries =
        rows.stream()
            .flatMap(
                row -> row.handler().map(name -> new Delivery(name, row.generation())).stream())
            .toList();
    return new ReplayedEvent(
        first.eventId(), first.type(), deliveries, first.number(), first.receivedAt());
  }

  Map<ReplayedEvent, List<DeliveryStatus>> outcomes(List<ReplayedEvent> events) {
    Map<ReplayedEvent, List<DeliveryStatus>> outcomes = new HashMap<>();
    for (int from = 0; from < events.size(); from += ASKED_AT_ONCE) {
      List<ReplayedEvent> some =
          events.subList(from, Math.min(events.size(), from + ASKED_AT_ONCE));
      Map<Long, List<DeliveryStatus>> known =
          database.ask("replay", handle -> statuses(handle, some));
      for (ReplayedEvent event : some) {
        outcomes.put(
            event,
            known.getOrDefault(event.number(), List.of()).stream()
                .filter(status -> isOf(event, status))
                .toList());
      }
    }
    return outcomes;
  }

  private static boolean isOf(ReplayedEvent event, DeliveryStatus status) {
    return event.deliveries().contains(new Delivery(status.handler(), status.generation()));
  }

  private record Numbered(long number, DeliveryStatus status) {}

  private static Map<Long, List<DeliveryStatus>> statuses(
      Handle handle, List<ReplayedEvent> events) {
    return handle
        .createQuery(
            """
            select d.event, d.handler, d.generation, d.state, d.attempts,
                   nullif(d.run_at, 'infinity') as run_at, d.finished_at, d.reason, d.error
              from cortex.deliveries_of_all(:numbers::text::bigint[],
                                            :receivedAts::text::timestamptz[]) d
            """)
        .bind("numbers", array(events.stream().map(ReplayedEvent::number).toList()))
        .bind("receivedAts", array(events.stream().map(ReplayedEvent::receivedAt).toList()))
        .map(
            (row, context) ->
                new Numbered(
                    row.getLong("event"), OperatorQuestions.deliveryStatus(new Columns(row))))
        .collect(
            Collectors.groupingBy(
                Numbered::number, Collectors.mapping(Numbered::status, Collectors.toList())));
  }

  /** Numbers and moments need no quotes. */
  private static String array(List<?> values) {
    return values.stream().map(String::valueOf).collect(Collectors.joining(",", "{", "}"));
  }
}
