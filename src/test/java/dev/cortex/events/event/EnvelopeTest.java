package dev.cortex.events.event;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class EnvelopeTest {
  private static final String SEED =
      """
      {"event_id": "evt_20251201_165420_3dc39e75a77d",
       "event_type": "worker.completed",
       "timestamp": "2025-12-01T22:54:20+0000",
       "source": "deployment-worker-001",
       "correlation_id": "deployment-task-001",
       "metadata": {"priority": "high", "master": "development", "tags": ["a"]},
       "payload": {"workers": [null, "w-2"]}}
      """;

  @Test
  void the_seeds_envelope_is_read_in_full() {
    EventDraft draft = Envelope.readArchived(SEED);
    assertThat(draft)
        .isEqualTo(
            EventDraft.of("worker.completed", "deployment-worker-001")
                .withEventId("evt_20251201_165420_3dc39e75a77d")
                .withOccurredAt(Instant.parse("2025-12-01T22:54:20Z"))
                .withCorrelationId("deployment-task-001")
                .withPriority(Priority.HIGH)
                .withMetadata(
                    Json.parse("metadata", "{\"master\":\"development\",\"tags\":[\"a\"]}"))
                .withPayload("{\"workers\":[null,\"w-2\"]}"));
    assertThat(Envelope.read(SEED)).isEqualTo(draft);
  }

  @Test
  void writing_and_reading_gives_an_equal_event() {
    EventDraft full =
        Envelope.readArchived(SEED)
            .withKey("k\u00e9y 😀")
            .withDedupeKey("d")
            .withRunAt(Instant.parse("2025-12-02T00:00:00.000001Z"))
            .withCausationId("evt_20251201_165419_1");
    assertThat(Envelope.read(Envelope.write(full))).isEqualTo(full);
    EventDraft archived = full.withExtensions(Json.parse("extensions", "{\"v\": 1.50}"));
    assertThat(Envelope.readArchived(Envelope.write(archived))).isEqualTo(archived);
    assertThat(Envelope.write(full)).doesNotContain("\n");
  }

  @Test
  void what_is_absent_stays_absent_and_what_is_empty_stays_empty() {
    EventDraft bare = EventDraft.of("task.created", "s");
    assertThat(Envelope.write(bare))
        .isEqualTo("{\"event_type\":\"task.created\",\"source\":\"s\"}");
    assertThat(Envelope.read(Envelope.write(bare))).isEqualTo(bare);
    EventDraft empty = bare.withPayload("{}").withMetadata(Json.empty());
    assertThat(Envelope.read(Envelope.write(empty))).isEqualTo(empty);
    EventDraft urgent = bare.withPriority(Priority.CRITICAL);
    assertThat(Envelope.read(Envelope.write(urgent))).isEqualTo(urgent);
  }

  @Test
  void null_members_are_absent_ones() {
    assertThat(
            Envelope.read(
                """
                {"event_type": "task.created", "source": "s", "event_id": null, "timestamp": null,
                 "correlation_id": null, "metadata": {"priority": null, "a": 1}, "payload": null,
                 "key": null, "dedupe_key": null, "run_at": null, "causation_id": null}
                """))
        .isEqualTo(
            EventDraft.of("task.created", "s").withMetadata(Json.parse("metadata", "{\"a\": 1}")));
  }

  @ParameterizedTest
  @CsvSource({
    "2025-12-01T22:54:20Z, 2025-12-01T22:54:20Z",
    "2025-12-01T22:54:20+0000, 2025-12-01T22:54:20Z",
    "2025-12-01T16:54:20-06:00, 2025-12-01T22:54:20Z",
    "2025-12-02T04:24:20+0530, 2025-12-01T22:54:20Z",
    "2025-12-01T22:54:20+00, 2025-12-01T22:54:20Z",
    "2025-12-01T22:54:20.5Z, 2025-12-01T22:54:20.500Z",
    "2025-12-01T22:54:20.123456789Z, 2025-12-01T22:54:20.123456Z",
    "0001-01-01T00:00:00Z, 0001-01-01T00:00:00Z"
  })
  void timestamps_of_all_spellings_are_instants_of_microseconds(String text, Instant expected) {
    assertThat(Envelope.read(withTimestamp(text)).occurredAt()).contains(expected);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "now",
        "infinity",
        "2025-12-01",
        "2025-12-01T22:54:20",
        "2025-12-01 22:54:20Z",
        "2025-13-01T22:54:20Z",
        "2025-02-30T22:54:20Z",
        "2025-12-01T25:00:00Z",
        "1733093660",
        "2025-12-01T22:54:20+19:00",
        "2025-12-01T22:54:20+00:",
        "2025-12-01T22:54:60Z",
        "+10000-01-01T00:00:00Z",
        "2025-12-01T22:54:20.Z"
      })
  void any_other_timestamp_is_refused_with_the_form_that_it_should_have(String text) {
    InvalidEventException refusal = refusal(withTimestamp(text));
    assertThat(refusal.field()).isEqualTo("occurred_at");
    assertThat(refusal.rule()).contains("2025-12-01T22:54:20Z");
  }

  private static String withTimestamp(String text) {
    return "{\"event_type\":\"a.b\",\"source\":\"s\",\"timestamp\":\"" + text + "\"}";
  }

  @ParameterizedTest
  @CsvSource({
    "corelation_id, correlation_id",
    "eventtype, event_type",
    "priority, metadata.priority"
  })
  void an_unknown_field_of_a_new_event_is_refused_and_the_nearest_named(String name, String near) {
    InvalidEventException refusal =
        refusal("{\"event_type\":\"a.b\",\"source\":\"s\",\"" + name + "\":1}");
    assertThat(refusal.defect()).isEqualTo(Defect.UNKNOWN_FIELD);
    assertThat(refusal.rule()).contains("\"" + near + "\"");
    assertThat(refusal.value()).contains(name);
  }

  @Test
  void an_unknown_field_of_an_archived_event_is_kept() {
    assertThat(Envelope.readArchived(SEED.replaceFirst("\\{", "{\"version\": 2, ")).extensions())
        .contains(Json.parse("extensions", "{\"version\": 2}"));
  }

  @Test
  void the_number_that_an_archived_event_had_is_passed_over() {
    String archived = SEED.replaceFirst("\\{", "{\"cortex_log\": {\"number\": 7}, ");
    assertThat(Envelope.readArchived(archived)).isEqualTo(Envelope.readArchived(SEED));
  }

  @ParameterizedTest
  @ValueSource(strings = {"event_id", "event_type", "timestamp", "source"})
  void an_archived_event_must_have_its_four_fields(String name) {
    InvalidEventException refusal =
        catchThrowableOfType(
            InvalidEventException.class,
            () -> Envelope.readArchived(SEED.replace("\"" + name + "\"", "\"x\"")));
    assertThat(refusal.defect()).isEqualTo(Defect.MISSING_FIELD);
  }

  @Test
  void a_defect_in_the_text_is_told_of_the_member_that_has_it() {
    assertThat(refusal(SEED.replace("w-2", "\\u0000")).field()).isEqualTo("payload");
    assertThat(refusal(SEED.replace("\"a\"", "1e2000")).field()).isEqualTo("metadata");
    assertThat(refusal(SEED.replace("\"source\"", "\"event_type\"")).rule())
        .startsWith("may hold a name only once");
  }

  @Test
  void a_payload_may_be_as_deep_inside_an_envelope_as_alone() {
    String payload = "{\"a\":".repeat(99) + "{}" + "}".repeat(99);
    String envelope = "{\"event_type\":\"a.b\",\"source\":\"s\",\"payload\":%s}";
    assertThat(Envelope.read(envelope.formatted(payload)).payload()).isPresent();
    assertThat(refusal(envelope.formatted("{\"a\":" + payload + "}")).defect())
        .isEqualTo(Defect.TOO_LARGE);
  }

  @Test
  void bytes_that_are_not_utf_8_are_refused() {
    byte[] bytes = SEED.getBytes(StandardCharsets.ISO_8859_1);
    bytes[20] = (byte) 0xFF;
    assertThatThrownBy(() -> Envelope.read(bytes))
        .isInstanceOfSatisfying(
            InvalidEventException.class,
            e -> assertThat(e.defect()).isEqualTo(Defect.INVALID_ENCODING));
  }

  private static InvalidEventException refusal(String json) {
    return catchThrowableOfType(InvalidEventException.class, () -> Envelope.read(json));
  }
}
