package dev.cortex.events.event;

import java.time.Instant;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * An event as its emitter gives it, before the database has received it. Only type and source must
 * be given; every {@code with} method returns a changed copy.
 *
 * <pre>{@code
 * EventDraft.of("task.failed", "worker-7").withPayload("{\"task_id\": \"t-1\"}").withPriority(HIGH)
 * }</pre>
 *
 * <p>Immutable and thread-safe. A draft that breaks a rule cannot exist; what needs a look at the
 * database (whether the type is known, whether the payload is within the configured size) is
 * checked there, in the same words.
 *
 * @param type dotted lower case, at most 200 characters; must be a known type unless the operator
 *     allows unknown ones
 * @param source who emits it, 1 to 200 characters
 * @param payload what happened; absent is not the same as an empty object
 * @param eventId an id given by the emitter, which makes emitting idempotent; absent: the database
 *     makes one
 * @param occurredAt when it happened, cut to microseconds; absent: when the database receives it
 * @param runAt handlers see it no earlier than this, cut to microseconds; absent: at once
 * @param priority absent is handled as {@link Priority#MEDIUM}
 * @param correlationId what belongs together carries the same one, 1 to 200 characters
 * @param causationId public id of the event whose handling emits this one
 * @param key ordered handlers run the events of one key in order, 1 to 200 characters
 * @param dedupeKey of the events of one type and dedupe key only the first is recorded, 1 to 200
 *     characters
 * @param metadata anything about the event that is not part of what happened; must not hold {@code
 *     priority}, which has its own place
 * @param extensions fields beside those that an envelope defines, as old scripts write them; must
 *     not hold one of those
 */
public record EventDraft(
    String type,
    String source,
    Optional<Json> payload,
    Optional<String> eventId,
    Optional<Instant> occurredAt,
    Optional<Instant> runAt,
    Optional<Priority> priority,
    Optional<String> correlationId,
    Optional<String> causationId,
    Optional<String> key,
    Optional<String> dedupeKey,
    Optional<Json> metadata,
    Optional<Json> extensions) {

  /** Checks every rule that needs no look at the database. */
  public EventDraft {
    EventRules.checkType(type);
    EventRules.checkLength("source", source);
    eventId.ifPresent(EventId::checked);
    occurredAt = occurredAt.map(moment -> EventRules.checkedMoment("occurred_at", moment));
    runAt = runAt.map(moment -> EventRules.checkedMoment("run_at", moment));
    correlationId.ifPresent(id -> EventRules.checkLength("correlation_id", id));
    causationId.ifPresent(id -> EventRules.checkLength("causation_id", id));
    key.ifPresent(value -> EventRules.checkLength("key", value));
    dedupeKey.ifPresent(value -> EventRules.checkLength("dedupe_key", value));
    metadata.ifPresent(EventRules::checkMetadata);
    extensions.ifPresent(EventRules::checkExtensions);
  }

  /** An event of a type from a source, with nothing else stated. */
  public static EventDraft of(String type, String source) {
    return new Fields(type, source).draft();
  }

  /**
   * With this payload, the text of a JSON object.
   *
   * @throws InvalidEventException when it is none
   */
  public EventDraft withPayload(String json) {
    return withPayload(Json.parse("payload", json));
  }

  /** With this payload. */
  public EventDraft withPayload(Json payload) {
    return with(fields -> fields.payload = payload);
  }

  /** With an id of the emitter's own. */
  public EventDraft withEventId(String eventId) {
    return with(fields -> fields.eventId = eventId);
  }

  /** As having happened at this time. */
  public EventDraft withOccurredAt(Instant occurredAt) {
    return with(fields -> fields.occurredAt = occurredAt);
  }

  /** To be handled no earlier than this. */
  public EventDraft withRunAt(Instant runAt) {
    return with(fields -> fields.runAt = runAt);
  }

  /** With this priority. */
  public EventDraft withPriority(Priority priority) {
    return with(fields -> fields.priority = priority);
  }

  /** As belonging to this. */
  public EventDraft withCorrelationId(String correlationId) {
    return with(fields -> fields.correlationId = correlationId);
  }

  /** As emitted by the handling of the event with this public id. */
  public EventDraft withCausationId(String causationId) {
    return with(fields -> fields.causationId = causationId);
  }

  /** With this key for ordered handlers. */
  public EventDraft withKey(String key) {
    return with(fields -> fields.key = key);
  }

  /** As a repetition of any event of its type that has this key. */
  public EventDraft withDedupeKey(String dedupeKey) {
    return with(fields -> fields.dedupeKey = dedupeKey);
  }

  /** With this metadata. */
  public EventDraft withMetadata(Json metadata) {
    return with(fields -> fields.metadata = metadata);
  }

  /** With these fields beside those of the envelope. */
  public EventDraft withExtensions(Json extensions) {
    return with(fields -> fields.extensions = extensions);
  }

  private EventDraft with(Consumer<Fields> change) {
    Fields fields = new Fields(type, source);
    fields.payload = payload.orElse(null);
    fields.eventId = eventId.orElse(null);
    fields.occurredAt = occurredAt.orElse(null);
    fields.runAt = runAt.orElse(null);
    fields.priority = priority.orElse(null);
    fields.correlationId = correlationId.orElse(null);
    fields.causationId = causationId.orElse(null);
    fields.key = key.orElse(null);
    fields.dedupeKey = dedupeKey.orElse(null);
    fields.metadata = metadata.orElse(null);
    fields.extensions = extensions.orElse(null);
    change.accept(fields);
    return fields.draft();
  }

  /** The components while a copy is being made. */
  private static final class Fields {
    private final String type;
    private final String source;
    private @Nullable Json payload;
    private @Nullable String eventId;
    private @Nullable Instant occurredAt;
    private @Nullable Instant runAt;
    private @Nullable Priority priority;
    private @Nullable String correlationId;
    private @Nullable String causationId;
    private @Nullable String key;
    private @Nullable String dedupeKey;
    private @Nullable Json metadata;
    private @Nullable Json extensions;

    private Fields(String type, String source) {
      this.type = type;
      this.source = source;
    }

    private EventDraft draft() {
      return new EventDraft(
          type,
          source,
          Optional.ofNullable(payload),
          Optional.ofNullable(eventId),
          Optional.ofNullable(occurredAt),
          Optional.ofNullable(runAt),
          Optional.ofNullable(priority),
          Optional.ofNullable(correlationId),
          Optional.ofNullable(causationId),
          Optional.ofNullable(key),
          Optional.ofNullable(dedupeKey),
          Optional.ofNullable(metadata),
          Optional.ofNullable(extensions));
    }
  }
}
