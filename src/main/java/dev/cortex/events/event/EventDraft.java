package dev.cortex.events.event;

import java.time.Instant;
import java.util.Optional;

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
 * @param occurredAt when it happened; absent: when the database receives it
 * @param runAt handlers see it no earlier than this; absent: at once
 * @param priority absent is handled as {@link Priority#MEDIUM}
 * @param correlationId what belongs together carries the same one, 1 to 200 characters
 * @param causationId public id of the event whose handling emits this one
 * @param key ordered handlers run the events of one key in order, 1 to 200 characters
 * @param dedupeKey of the events of one type and dedupe key only the first is recorded, 1 to 200
 *     characters
 * @param metadata anything about the event that is not part of what happened; must not hold {@code
 *     priority}, which has its own place
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
    Optional<Json> metadata) {

  /** Checks every rule that needs no look at the database. */
  public EventDraft {
    EventRules.checkType(type);
    EventRules.checkLength("source", source);
    eventId.ifPresent(EventId::checked);
    occurredAt.ifPresent(moment -> EventRules.checkMoment("occurred_at", moment));
    runAt.ifPresent(moment -> EventRules.checkMoment("run_at", moment));
    correlationId.ifPresent(id -> EventRules.checkLength("correlation_id", id));
    causationId.ifPresent(id -> EventRules.checkLength("causation_id", id));
    key.ifPresent(value -> EventRules.checkLength("key", value));
    dedupeKey.ifPresent(value -> EventRules.checkLength("dedupe_key", value));
    metadata.ifPresent(EventRules::checkMetadata);
  }

  /** An event of a type from a source, with nothing else stated. */
  public static EventDraft of(String type, String source) {
    return new EventDraft(
        type,
        source,
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  /** With this payload, the text of a JSON object. */
  public EventDraft withPayload(String json) {
    return withPayload(Json.parse("payload", json));
  }

  public EventDraft withPayload(Json payload) {
    return new EventDraft(
        type,
        source,
        Optional.of(payload),
        eventId,
        occurredAt,
        runAt,
        priority,
        correlationId,
        causationId,
        key,
        dedupeKey,
        metadata);
  }

  public EventDraft withEventId(String eventId) {
    return new EventDraft(
        type,
        source,
        payload,
        Optional.of(eventId),
        occurredAt,
        runAt,
        priority,
        correlationId,
        causationId,
        key,
        dedupeKey,
        metadata);
  }

  public EventDraft withOccurredAt(Instant occurredAt) {
    return new EventDraft(
        type,
        source,
        payload,
        eventId,
        Optional.of(occurredAt),
        runAt,
        priority,
        correlationId,
        causationId,
        key,
        dedupeKey,
        metadata);
  }

  public EventDraft withRunAt(Instant runAt) {
    return new EventDraft(
        type,
        source,
        payload,
        eventId,
        occurredAt,
        Optional.of(runAt),
        priority,
        correlationId,
        causationId,
        key,
        dedupeKey,
        metadata);
  }

  public EventDraft withPriority(Priority priority) {
    return new EventDraft(
        type,
        source,
        payload,
        eventId,
        occurredAt,
        runAt,
        Optional.of(priority),
        correlationId,
        causationId,
        key,
        dedupeKey,
        metadata);
  }

  public EventDraft withCorrelationId(String correlationId) {
    return new EventDraft(
        type,
        source,
        payload,
        eventId,
        occurredAt,
        runAt,
        priority,
        Optional.of(correlationId),
        causationId,
        key,
        dedupeKey,
        metadata);
  }

  public EventDraft withCausationId(String causationId) {
    return new EventDraft(
        type,
        source,
        payload,
        eventId,
        occurredAt,
        runAt,
        priority,
        correlationId,
        Optional.of(causationId),
        key,
        dedupeKey,
        metadata);
  }

  public EventDraft withKey(String key) {
    return new EventDraft(
        type,
        source,
        payload,
        eventId,
        occurredAt,
        runAt,
        priority,
        correlationId,
        causationId,
        Optional.of(key),
        dedupeKey,
        metadata);
  }

  public EventDraft withDedupeKey(String dedupeKey) {
    return new EventDraft(
        type,
        source,
        payload,
        eventId,
        occurredAt,
        runAt,
        priority,
        correlationId,
        causationId,
        key,
        Optional.of(dedupeKey),
        metadata);
  }

  public EventDraft withMetadata(Json metadata) {
    return new EventDraft(
        type,
        source,
        payload,
        eventId,
        occurredAt,
        runAt,
        priority,
        correlationId,
        causationId,
        key,
        dedupeKey,
        Optional.of(metadata));
  }
}
