package dev.cortex.events.outbox;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * A sample of each defect in docs/entrances.md.
 *
 * @param members the envelope's members, each with its JSON as it stands. The byte 0xFF, which no
 *     UTF-8 has, is spelled U+FFFF
 * @param first the event that it repeats, to be emitted before it
 */
public record BadEvent(Map<String, String> members, Optional<Map<String, String>> first) {
  private static final char NO_UTF_8 = '\uFFFF';
  private static final String LONG = "x".repeat(201);

  /** The sample of a defect; a number that no other sample had makes its keys its own. */
  public static BadEvent of(String defect, int number) {
    String id = "\"evt_20251201_165420_sample%d\"".formatted(number);
    String key = "\"sample-%d\"".formatted(number);
    return switch (defect) {
      case "type missing" -> without("event_type");
      case "type empty" -> with("event_type", "\"\"");
      case "type too long" -> with("event_type", "\"task." + LONG + "\"");
      case "type malformed" -> with("event_type", "\"Task failed\"");
      case "type unknown" -> with("event_type", "\"task.faild\"");
      case "source missing" -> without("source");
      case "source empty" -> with("source", "\"\"");
      case "source too long" -> with("source", "\"" + LONG + "\"");
      case "source with a NUL" -> with("source", "\"a\\u0000b\"");
      case "event_id of another form" -> with("event_id", "\"evt_1\"");
      case "event_id repeated, same content" -> with("event_id", id).repeating(Map.of());
      case "event_id repeated, other content" ->
          with("event_id", id).repeating(Map.of("source", "\"worker-8\""));
      case "dedupe_key empty" -> with("dedupe_key", "\"\"");
      case "dedupe_key repeated, same payload" -> with("dedupe_key", key).repeating(Map.of());
      case "dedupe_key repeated, other payload" ->
          with("dedupe_key", key).repeating(Map.of("payload", "{\"task_id\": \"t-2\"}"));
      case "correlation_id empty" -> with("correlation_id", "\"\"");
      case "key too long" -> with("key", "\"" + LONG + "\"");
      case "causation_id given" -> with("causation_id", "\"evt_20251201_165420_cause\"");
      case "priority unknown" -> with("priority", "\"urgent\"");
      case "payload not JSON" -> with("payload", "{\"a\": tru}");
      case "payload an array" -> with("payload", "[1, 2]");
      case "payload null" -> with("payload", "null");
      case "payload too large" -> with("payload", "{\"a\": \"" + "x".repeat(262_144) + "\"}");
      case "payload nested too deep" ->
          with("payload", "{\"a\": " + "[".repeat(100) + "]".repeat(100) + "}");
      case "payload with a number of 1001 digits" -> with("payload", "{\"a\": 1e1000}");
      case "payload with a number beyond numeric" -> with("payload", "{\"a\": 1e131072}");
      case "payload with a NUL" -> with("payload", "{\"a\": \"\\u0000\"}");
      case "payload with half a surrogate pair" -> with("payload", "{\"a\": \"\\ud800\"}");
      case "payload with invalid UTF-8" -> with("payload", "{\"a\": \"" + NO_UTF_8 + "\"}");
      case "payload with a name twice" -> with("payload", "{\"a\": 1, \"a\": 2}");
      case "metadata an array" -> with("metadata", "[]");
      case "metadata with a priority" -> with("metadata", "{\"priority\": \"high\"}");
      case "occurred_at no timestamp" -> with("timestamp", "\"soon\"");
      case "occurred_at without an offset" -> with("timestamp", "\"2025-12-01T22:54:20\"");
      case "occurred_at in the year 10000" -> with("timestamp", "\"+10000-01-01T00:00:00Z\"");
      case "run_at infinite" -> with("run_at", "\"infinity\"");
      case "a field that events do not have" -> with("corelation_id", "\"c-1\"");
      case "a field of another JSON type" -> with("source", "7");
      case "no event at all" -> new BadEvent(Map.of("hello", "\"world\""), Optional.empty());
      default -> throw new IllegalArgumentException("a sample is needed of: " + defect);
    };
  }

  /** An event without any defect. */
  public static BadEvent none() {
    return new BadEvent(good(), Optional.empty());
  }

  private static Map<String, String> good() {
    Map<String, String> members = new LinkedHashMap<>();
    members.put("event_type", "\"task.failed\"");
    members.put("source", "\"worker-7\"");
    members.put("payload", "{\"task_id\": \"t-1\"}");
    return members;
  }

  private static BadEvent with(String member, String json) {
    Map<String, String> members = good();
    members.put(member, json);
    return new BadEvent(members, Optional.empty());
  }

  private static BadEvent without(String member) {
    Map<String, String> members = good();
    members.remove(member);
    return new BadEvent(members, Optional.empty());
  }

  private BadEvent repeating(Map<String, String> differences) {
    Map<String, String> original = new LinkedHashMap<>(members);
    original.putAll(differences);
    return new BadEvent(members, Optional.of(original));
  }

  /** The JSON of a member that it has. */
  public String member(String name) {
    return Objects.requireNonNull(members.get(name), name);
  }

  /** The event that comes before it, as a sample. */
  public Optional<BadEvent> before() {
    return first.map(members -> new BadEvent(members, Optional.empty()));
  }

  /** Its envelope on one line, for {@code emit -}. */
  public byte[] envelope() {
    return envelope(members);
  }

  /** Its envelope with what an archive must have. */
  public byte[] archived() {
    Map<String, String> archived = new LinkedHashMap<>(members);
    if (archived.containsKey("source") || archived.containsKey("event_type")) {
      archived.putIfAbsent("event_id", "\"evt_20251201_165420_%x\"".formatted(System.nanoTime()));
      archived.putIfAbsent("timestamp", "\"2025-12-01T22:54:20+0000\"");
    }
    return envelope(archived);
  }

  private static byte[] envelope(Map<String, String> members) {
    Map<String, String> envelope = new LinkedHashMap<>(members);
    String priority = envelope.remove("priority");
    if (priority != null) {
      envelope.put("metadata", "{\"priority\": " + priority + "}");
    }
    StringBuilder json = new StringBuilder();
    envelope.forEach(
        (name, value) ->
            json.append(json.isEmpty() ? "{" : ", ").append('"' + name + "\": ").append(value));
    return bytes(json + "}");
  }

  /** The bytes that a piece of JSON stands for. */
  public static byte[] bytes(String json) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    json.codePoints()
        .forEach(
            point ->
                bytes.writeBytes(
                    point == NO_UTF_8
                        ? new byte[] {(byte) 0xFF}
                        : Character.toString(point).getBytes(StandardCharsets.UTF_8)));
    return bytes.toByteArray();
  }
}
