package dev.cortex.events.event;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The JSON form of an event, in which it is emitted on standard input, spooled, archived and shown.
 * Two strictnesses: {@link #read} for a new event, where a field that is not known is a mistake,
 * and {@link #readArchived} for an old one, where it is kept as an extension.
 *
 * <p>Writing and reading again gives an equal event: equal as JSON values and as instants, not as
 * text. A member that is {@code null} is an absent one. Does no I/O; thread-safe.
 */
public final class Envelope {
  private static final String PRIORITY = "priority";
  private static final String METADATA = "metadata";

  /** The envelope's own fields, in the order in which they are written, and what a draft adds. */
  static final Set<String> FIELDS =
      Set.of(
          "event_id",
          "event_type",
          "timestamp",
          "source",
          "correlation_id",
          METADATA,
          "payload",
          "key",
          "dedupe_key",
          "run_at",
          "causation_id");

  /** What an archive of ours adds: the event's number in the log that it left. */
  private static final String LOG = "cortex_log";

  private final ObjectNode members;
  private final boolean archived;

  private Envelope(ObjectNode members, boolean archived) {
    this.members = members;
    this.archived = archived;
  }

  /**
   * A new event from its envelope. {@code event_type} and {@code source} must be given; {@code
   * event_id}, {@code timestamp}, {@code correlation_id}, {@code metadata}, {@code payload}, {@code
   * key}, {@code dedupe_key}, {@code run_at} and {@code causation_id} may be.
   *
   * @throws InvalidEventException when it breaks a rule, or has any other field; then the nearest
   *     known one is named
   */
  public static EventDraft read(String json) {
    return new Envelope(JsonText.event(json), false).draft();
  }

  /**
   * The same from bytes.
   *
   * @throws InvalidEventException also when they are not UTF-8
   */
  public static EventDraft read(byte[] json) {
    return read(decoded(json));
  }

  /**
   * An archived event from its envelope, in which {@code event_id}, {@code event_type}, {@code
   * timestamp} and {@code source} must be given. Fields that the envelope does not define are kept
   * as extensions; but {@code cortex_log}, which says what number the event had in the log that it
   * was archived from, is passed over. An empty {@code correlation_id}, which old scripts wrote, is
   * an absent one.
   *
   * @throws InvalidEventException when it breaks a rule
   */
  public static EventDraft readArchived(String json) {
    return new Envelope(JsonText.event(json), true).draft();
  }

  /**
   * The same from bytes.
   *
   * @throws InvalidEventException also when they are not UTF-8
   */
  public static EventDraft readArchived(byte[] json) {
    return readArchived(decoded(json));
  }

  /**
   * An event from a line that is no envelope: the whole object is its payload. It occurred at the
   * line's {@code timestamp}, where that is one.
   *
   * @throws InvalidEventException when the line is not a JSON object, or the type or source is none
   */
  public static EventDraft readOlder(byte[] json, String type, String source) {
    Json payload = Json.parse("payload", decoded(json));
    EventDraft draft = EventDraft.of(type, source).withPayload(payload);
    return payload
        .string("timestamp")
        .flatMap(Timestamp::parseLeniently)
        .map(draft::withOccurredAt)
        .orElse(draft);
  }

  /** The envelope of a draft, one line without a line break; what is absent is left out. */
  public static String write(EventDraft draft) {
    ObjectNode members = JsonText.MAPPER.createObjectNode();
    draft.eventId().ifPresent(id -> members.put("event_id", id));
    members.put("event_type", draft.type());
    draft.occurredAt().ifPresent(moment -> members.put("timestamp", moment.toString()));
    members.put("source", draft.source());
    draft.correlationId().ifPresent(id -> members.put("correlation_id", id));
    metadata(draft.metadata(), draft.priority())
        .ifPresent(metadata -> members.set(METADATA, metadata));
    draft.payload().ifPresent(payload -> members.set("payload", payload.tree()));
    draft.key().ifPresent(key -> members.put("key", key));
    draft.dedupeKey().ifPresent(key -> members.put("dedupe_key", key));
    draft.runAt().ifPresent(moment -> members.put("run_at", moment.toString()));
    draft.causationId().ifPresent(id -> members.put("causation_id", id));
    draft.extensions().ifPresent(extensions -> members.setAll(extensions.tree()));
    return members.toString();
  }

  /** The envelope of a recorded event with its extensions, one line without a line break. */
  public static String write(Event event, Json extensions) {
    ObjectNode members = JsonText.MAPPER.createObjectNode();
    members.put("event_id", event.id());
    members.put("event_type", event.type());
    members.put("timestamp", event.occurredAt().toString());
    members.put("source", event.source());
    event.correlationId().ifPresent(id -> members.put("correlation_id", id));
    metadata(Optional.of(event.metadata()), Optional.of(event.priority()))
        .ifPresent(metadata -> members.set(METADATA, metadata));
    members.set("payload", event.payload().tree());
    members.setAll(extensions.tree());
    return members.toString();
  }

  private static Optional<ObjectNode> metadata(
      Optional<Json> metadata, Optional<Priority> priority) {
    if (metadata.isEmpty() && priority.isEmpty()) {
      return Optional.empty();
    }
    ObjectNode members = JsonText.MAPPER.createObjectNode();
    priority.ifPresent(known -> members.put(PRIORITY, known.label()));
    metadata.ifPresent(known -> members.setAll(known.tree()));
    return Optional.of(members);
  }

  private static String decoded(byte[] json) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(json)).toString();
    } catch (CharacterCodingException e) {
      throw new InvalidEventException(Defect.INVALID_ENCODING, "event", "must be valid UTF-8");
    }
  }

  private EventDraft draft() {
    checkIsEvent();
    Optional<Json> extensions = extensions();
    Optional<ObjectNode> metadata = object(METADATA);
    return new EventDraft(
        required("event_type"),
        required("source"),
        object("payload").map(Json::checked),
        archived ? Optional.of(required("event_id")) : string("event_id"),
        archived
            ? Optional.of(Timestamp.parse("occurred_at", required("timestamp")))
            : moment("timestamp"),
        moment("run_at"),
        metadata.flatMap(Envelope::priority),
        string("correlation_id").filter(id -> !(archived && id.isEmpty())),
        string("causation_id"),
        string("key"),
        string("dedupe_key"),
        metadata.flatMap(Envelope::withoutPriority),
        extensions);
  }

  private void checkIsEvent() {
    if (FIELDS.stream().noneMatch(members::has)) {
      throw new InvalidEventException(
          Defect.NOT_AN_EVENT,
          "event",
          "must have event_type and source, has no field of an event");
    }
  }

  private Optional<Json> extensions() {
    ObjectNode others = members.deepCopy();
    others.remove(FIELDS);
    if (archived) {
      others.remove(LOG);
    }
    if (others.isEmpty()) {
      return Optional.empty();
    }
    if (!archived) {
      throw unknown(others.fieldNames().next());
    }
    return Optional.of(Json.checked(others));
  }

  private static InvalidEventException unknown(String name) {
    String hint =
        name.equals(PRIORITY)
            ? " (did you mean \"metadata.priority\"?)"
            : NearestWord.to(name, FIELDS)
                .map(near -> " (did you mean \"%s\"?)".formatted(near))
                .orElse("");
    return new InvalidEventException(
        Defect.UNKNOWN_FIELD, "event", "may have no other fields than an event's" + hint, name);
  }

  private String required(String name) {
    return string(name)
        .orElseThrow(
            () -> new InvalidEventException(Defect.MISSING_FIELD, columnOf(name), "must be given"));
  }

  private Optional<Instant> moment(String name) {
    return string(name).map(text -> Timestamp.parse(columnOf(name), text));
  }

  private Optional<String> string(String name) {
    return member(
        name, "must be a string", member -> member.isTextual() ? member.textValue() : null);
  }

  private Optional<ObjectNode> object(String name) {
    return member(
        name,
        "must be a JSON object",
        member -> member instanceof ObjectNode object ? object : null);
  }

  private <T> Optional<T> member(
      String name, String rule, Function<JsonNode, @Nullable T> conversion) {
    JsonNode member = members.get(name);
    if (member == null || member.isNull()) {
      return Optional.empty();
    }
    @Nullable T converted = conversion.apply(member);
    if (converted == null) {
      throw new InvalidEventException(columnOf(name), rule);
    }
    return Optional.of(converted);
  }

  private static Optional<Priority> priority(ObjectNode metadata) {
    JsonNode priority = metadata.get(PRIORITY);
    if (priority == null || priority.isNull()) {
      return Optional.empty();
    }
    return Optional.of(Priority.of(priority.asText()));
  }

  /** Metadata that held nothing but the priority was made for it, and is absent without it. */
  private static Optional<Json> withoutPriority(ObjectNode metadata) {
    if (!metadata.has(PRIORITY)) {
      return Optional.of(Json.checked(metadata));
    }
    ObjectNode others = metadata.deepCopy();
    others.remove(PRIORITY);
    return others.isEmpty() ? Optional.empty() : Optional.of(Json.checked(others));
  }

  /**
   * What an error calls a member: the column that holds it, so that one field has one name at every
   * entrance. A member that no envelope has is not named, since its name may be anything.
   */
  static String columnOf(String member) {
    return switch (member) {
      case "event_type" -> "type";
      case "timestamp" -> "occurred_at";
      default -> FIELDS.contains(member) ? member : "event";
    };
  }
}
