package dev.cortex.events.operate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Priority;
import dev.cortex.events.operate.TracedEvent.TracedDelivery;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
@Timeout(60)
class OperatorQuestionsTest {
  private final TestQueue queue;
  private final Operations auditor;

  OperatorQuestionsTest(TestDatabase database) {
    this.queue = new TestQueue(database);
    this.auditor = queue.auditor();
  }

  private void type(String type) throws SQLException {
    queue.run("insert into cortex.event_types (type) values (?) on conflict do nothing", type);
  }

  private String line(String eventId) throws SQLException {
    return queue.text("select line from cortex.event_log where event_id = ?", eventId);
  }

  @Test
  void a_line_is_the_whole_envelope_in_its_fixed_order() throws SQLException {
    type("line.full");
    String id =
        queue.text(
            """
            select cortex.emit('line.full', 'w-1', '{"workers": [null, "w-2"]}',
              correlation_id => 'c-1', priority => 'high', metadata => '{"tags": ["x"]}',
              occurred_at => '2025-12-01T16:54:20-06:00',
              event_id => 'evt_20251201_165420_3dc39e75a77d')
            """);
    assertThat(line(id))
        .isEqualTo(
            "{\"event_id\": \"evt_20251201_165420_3dc39e75a77d\", \"event_type\": \"line.full\","
                + " \"timestamp\": \"2025-12-01T22:54:20Z\", \"source\": \"w-1\","
                + " \"correlation_id\": \"c-1\","
                + " \"metadata\": {\"tags\": [\"x\"], \"priority\": \"high\"},"
                + " \"payload\": {\"workers\": [null, \"w-2\"]}}");
  }

  @Test
  void a_line_leaves_out_what_the_emitter_left_out() throws SQLException {
    type("line.bare");
    String id =
        queue.text(
            "select cortex.emit('line.bare', 'w-1'," + " occurred_at => '2025-12-01T22:54:20.5Z')");
    assertThat(line(id))
        .isEqualTo(
            "{\"event_id\": \""
                + id
                + "\", \"event_type\": \"line.bare\","
                + " \"timestamp\": \"2025-12-01T22:54:20.500000Z\", \"source\": \"w-1\"}");
  }

  @Test
  void a_line_is_one_line_of_json_whatever_it_holds_and_ends_with_the_extensions()
      throws SQLException, JsonProcessingException {
    type("line.wild");
    queue.run(
        """
        insert into cortex.events (type, source, payload, extensions)
        values ('line.wild', E'quote " back \\\\ new\\nline', '{"t": "a\\nb"}', '{"old": 1, "b": "}"}')
        """);
    String line = queue.text("select line from cortex.event_log where type = 'line.wild'");
    assertThat(line).doesNotContain("\n").endsWith(", \"b\": \"}\", \"old\": 1}");
    assertThat(new ObjectMapper().readTree(line).path("source").asText())
        .isEqualTo("quote \" back \\ new\nline");
  }

  @Test
  void an_alias_is_shown_under_its_canonical_type() throws SQLException {
    type("canonical.type");
    queue.run(
        "insert into cortex.event_types (type, alias_of) values ('aka.type', 'canonical.type')");
    assertThat(line(queue.emit("aka.type"))).contains("\"event_type\": \"canonical.type\"");
  }

  @Test
  void events_of_unknown_types_have_a_view_of_their_own() throws SQLException {
    queue.run("update cortex.settings set allow_unknown_types = true");
    String id = queue.emit("never.heard");
    assertThat(queue.text("select event_id from cortex.unknown_events where type = 'never.heard'"))
        .isEqualTo(id);
    type("never.heard");
    assertThat(queue.text("select count(*) from cortex.unknown_events where type = 'never.heard'"))
        .isEqualTo("0");
  }

  @Test
  void the_log_is_streamed_with_every_filter() throws SQLException {
    type("stream.one");
    type("stream.two");
    String one = queue.emit("stream.one");
    String two =
        queue.text(
            "select cortex.emit('stream.two', 'other', priority => 'high', correlation_id => 'sc')");
    assertThat(ids(EventFilter.all().withType("stream.*"))).containsExactly(one, two);
    assertThat(ids(EventFilter.all().withType("stream.one"))).containsExactly(one);
    assertThat(ids(EventFilter.all().withType("stream.*").withSource("other")))
        .containsExactly(two);
    assertThat(ids(EventFilter.all().withType("stream.*").withPriority(Priority.MEDIUM)))
        .containsExactly(one);
    assertThat(ids(EventFilter.all().withCorrelationId("sc"))).containsExactly(two);
    Instant between =
        Instant.parse(
            queue.text(
                "select cortex.iso_time(received_at) from cortex.event_log where event_id = '"
                    + two
                    + "'"));
    assertThat(ids(EventFilter.all().withType("stream.*").withUntil(between))).containsExactly(one);
    assertThat(ids(EventFilter.all().withType("stream.*").withSince(between))).containsExactly(two);
  }

  private List<String> ids(EventFilter filter) {
    List<String> ids = new ArrayList<>();
    auditor.events(filter, event -> ids.add(event.event().id()));
    return ids;
  }

  @Test
  void the_queue_is_counted_by_state_for_every_handler_and_priority() throws SQLException {
    queue.handler("counted", "counted.event");
    queue.handler("idle", "idle.event");
    String scheduled =
        queue.text("select cortex.emit('counted.event', 'test', run_at => now() + interval '1 h')");
    assertThat(scheduled).isNotEmpty();
    queue.emit("counted.event");
    queue.emit("counted.event");
    queue.text("select cortex.emit('counted.event', 'test', priority => 'critical')");
    queue.run(
        """
        update cortex.deliveries set run_at = now() + interval '1 min', attempt = 1
         where priority = 'critical'
           and handler_id = (select handler_id from cortex.handlers where name = 'counted')
        """);

    QueueStatus medium = status("counted", Priority.MEDIUM);
    assertThat(medium.available()).isEqualTo(2);
    assertThat(medium.scheduled()).isEqualTo(1);
    assertThat(medium.retrying()).isZero();
    assertThat(medium.oldestDue()).isPresent();
    assertThat(status("counted", Priority.CRITICAL).retrying()).isEqualTo(1);
    assertThat(status("idle", Priority.LOW).available()).isZero();

    queue.kill("counted");
    assertThat(status("counted", Priority.MEDIUM).dead()).isEqualTo(3);
    assertThat(status("counted", Priority.MEDIUM).oldestDue()).isEmpty();
  }

  @Test
  void what_a_slot_says_is_running_is_not_counted_as_available() throws SQLException {
    queue.handler("slotted", "slotted.event");
    String event = queue.emit("slotted.event");
    queue.emit("slotted.event");
    queue.run(
        """
        with w as (
          insert into cortex.workers (name, version) values ('w', '1') returning worker_id)
        insert into cortex.slots (worker_id, slot, handler_id, events, started_at)
        select w.worker_id, 1, h.handler_id, array[l.id], now()
          from w, cortex.handlers h, cortex.locate_event(?) l
         where h.name = 'slotted'
        """,
        event);
    QueueStatus status = status("slotted", Priority.MEDIUM);
    assertThat(status.running()).isEqualTo(1);
    assertThat(status.available()).isEqualTo(1);
    assertThat(auditor.deliveries(event))
        .extracting(DeliveryStatus::state)
        .containsExactly(DeliveryState.RUNNING);
  }

  @Test
  void interleaving_19_counts_end_at_ten_thousand_and_one() throws SQLException {
    queue.handler("flooded", "flooded.event");
    queue.run(
        "insert into cortex.events (type, source)"
            + " select 'flooded.event', 'test' from generate_series(1, 11000)");
    assertThat(status("flooded", Priority.MEDIUM).available()).isEqualTo(QueueStatus.MORE);
  }

  private QueueStatus status(String handler, Priority priority) {
    return auditor.queueStatus().stream()
        .filter(s -> s.handler().equals(handler) && s.priority() == priority)
        .findFirst()
        .orElseThrow();
  }

  @Test
  void a_dead_letter_says_why_it_died() throws SQLException {
    queue.handler("mortal", "mortal.event");
    String event = queue.emit("mortal.event");
    queue.kill("mortal");
    queue.run(
        """
        insert into cortex.attempts
               (event, event_at, started_at, outcome, handler_id, generation, attempt, reason, error)
        select d.event, d.event_at, now(), 'dead', d.handler_id, 0, 5, 'handler_failed', 'no such task'
          from cortex.deliveries d
         where d.event = (select id from cortex.locate_event(?))
        """,
        event);
    DeadLetter letter = auditor.deadLetters("mortal", 0, 10).get(0);
    assertThat(letter.eventId()).isEqualTo(event);
    assertThat(letter.error()).contains("no such task");
    assertThat(letter.attempts()).isEqualTo(5);
    assertThat(auditor.deadLetters("mortal", letter.position(), 10)).isEmpty();
  }

  @Test
  void a_page_of_dead_letters_ends_with_every_generation_of_its_last_event() throws SQLException {
    queue.handler("replayed", "replayed.event");
    queue.emit("replayed.event");
    queue.emit("replayed.event");
    queue.kill("replayed");
    queue.run(
        """
        insert into cortex.deliveries (handler_id, lane, priority, run_at, event, event_at, generation, attempt)
        select d.handler_id, d.lane, d.priority, d.run_at, d.event, d.event_at, 1, d.attempt
          from cortex.deliveries d
          join cortex.handlers h using (handler_id)
         where h.name = 'replayed'
        """);
    List<DeadLetter> page = auditor.deadLetters("replayed", 0, 1);
    assertThat(page).extracting(DeadLetter::generation).containsExactlyInAnyOrder(0, 1);
    assertThat(auditor.deadLetters("replayed", page.get(1).position(), 1)).hasSize(2);
  }

  @Test
  void a_trace_is_a_tree_of_causes_with_what_became_of_each() throws SQLException {
    queue.handler("traced", "traced.event");
    String root =
        queue.text("select cortex.emit('traced.event', 'root', correlation_id => 'trace-1')");
    String child = caused("child", root);
    String grandchild = caused("grandchild", child);
    String sibling = caused("sibling", root);
    String beside =
        queue.text("select cortex.emit('traced.event', 'beside', correlation_id => 'trace-1')");

    List<TracedEvent> expected = auditor.trace("trace-1");
    assertThat(expected)
        .extracting(TracedEvent::depth, TracedEvent::eventId)
        .containsExactly(
            tuple(0, root),
            tuple(1, child),
            tuple(2, grandchild),
            tuple(1, sibling),
            tuple(0, beside));
    assertThat(auditor.trace(grandchild)).isEqualTo(expected);
    assertThat(expected.get(0).deliveries())
        .containsExactly(new TracedDelivery("traced", 0, DeliveryState.AVAILABLE, 0));
  }

  private String caused(String source, String cause) throws SQLException {
    return queue.text("select cortex.emit('traced.event', ?, causation_id => ?)", source, cause);
  }

  @Test
  void a_circle_of_causes_that_emitters_made_up_ends() throws SQLException {
    type("circle.event");
    queue.run(
        """
        insert into cortex.events (type, source, event_id, causation_id) values
          ('circle.event', 'a', 'evt_20250101_000000_a', 'evt_20250101_000000_b'),
          ('circle.event', 'b', 'evt_20250101_000000_b', 'evt_20250101_000000_a'),
          ('circle.event', 'c', 'evt_20250101_000000_c', 'evt_20250101_000000_c')
        """);
    assertThat(auditor.trace("evt_20250101_000000_a"))
        .extracting(TracedEvent::eventId)
        .containsExactly("evt_20250101_000000_a", "evt_20250101_000000_b");
    assertThat(auditor.trace("evt_20250101_000000_c")).hasSize(1);
  }

  @Test
  void a_trace_ends_at_a_thousand_events() throws SQLException {
    type("wide.event");
    queue.run(
        "insert into cortex.events (type, source, correlation_id)"
            + " select 'wide.event', 'test', 'wide' from generate_series(1, 1500)");
    assertThat(auditor.trace("wide")).hasSize(1_000);
  }

  @Test
  void nothing_is_known_of_an_event_that_is_not_there() {
    assertThat(auditor.trace("nobody")).isEmpty();
    assertThat(auditor.audit("evt_20200101_000000_1")).isEmpty();
    assertThat(auditor.deliveries("nobody")).isEmpty();
  }
}
