package dev.cortex.events.outbox;

import dev.cortex.events.event.Cause;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.LeaseCause;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Iterator;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Stream;

/**
 * Emits events on the caller's connection, in the caller's transaction: what that transaction
 * writes and what it emits are committed together or not at all. Nothing here commits, rolls back
 * or closes. On a connection in autocommit each call is a transaction of its own.
 *
 * <pre>{@code
 * try (Connection connection = dataSource.getConnection()) {
 *   connection.setAutoCommit(false);
 *   // … the business's own statements …
 *   outbox.emit(connection, EventDraft.of("task.failed", "worker-7").withPayload("{\"task_id\": \"t-1\"}"));
 *   connection.commit();
 * }
 * }</pre>
 *
 * <p>Each call is atomic: one bad event, and nothing of the call is written. After an exception
 * roll the transaction back, as after any failed statement. A call waits while another transaction
 * holds the same event id or dedupe key, for as long as that stays open; two that hold each other's
 * fail with {@link EmitFailedException} (SQLSTATE 40P01), as does one at REPEATABLE READ that meets
 * a key committed since its snapshot (40001).
 *
 * <p>Stateless and thread-safe; a connection is not. Works through transaction poolers. The login
 * must be a member of the emitter role, and of the worker role where a {@link Cause} is given.
 */
public final class Outbox {
  /** An outbox; it holds nothing. */
  public Outbox() {}

  /**
   * Emits one event.
   *
   * @return its public id; that of the first one where this one repeats it (an event id of the same
   *     content, or a dedupe key with the same payload)
   * @throws InvalidEventException when it breaks a rule
   * @throws EmitFailedException when the database could not record it
   */
  public String emit(Connection connection, EventDraft draft) {
    return run(() -> new EventInsert(connection).emit(draft, OptionalInt.empty()));
  }

  /**
   * Emits one event that the handling of another one caused: it carries the other one's public id,
   * is one step deeper, and belongs to what that belongs to unless it says otherwise. For workers;
   * an emitter that knows only an id gives that to the draft.
   *
   * @return as {@link #emit(Connection, EventDraft)}
   * @throws InvalidEventException when it breaks a rule
   * @throws EmitFailedException when the database could not record it
   */
  public String emit(Connection connection, EventDraft draft, Cause cause) {
    EventDraft caused = caused(draft, cause);
    return run(() -> new EventInsert(connection).emit(caused, OptionalInt.of(cause.depth())));
  }

  /**
   * Emits one event for a leased delivery, from outside of the worker: caused by its event as
   * {@link #emit(Connection, EventDraft, Cause)} has it, and refused once the lease is lost. Until
   * the transaction ends, nobody else can lease the delivery.
   *
   * @return as {@link #emit(Connection, EventDraft)}
   * @throws InvalidEventException when it breaks a rule, or the lease is not held
   * @throws EmitFailedException when the database could not record it
   */
  public String emit(Connection connection, EventDraft draft, LeaseCause cause) {
    EventDraft caused = draft.withCausationId(cause.eventId());
    return run(() -> new EventInsert(connection).emitUnderLease(caused, cause));
  }

  /**
   * Emits events, a thousand to a statement.
   *
   * @return their public ids in order, each as {@link #emit(Connection, EventDraft)} gives it
   * @throws InvalidEventException when one breaks a rule
   * @throws EmitFailedException when the database could not record them
   */
  public List<String> emitAll(Connection connection, List<EventDraft> drafts) {
    return run(() -> new EventBatch(connection).emitAll(drafts, OptionalInt.empty()));
  }

  /**
   * Emits events that the handling of another one caused.
   *
   * @return their public ids in order
   * @throws InvalidEventException when one breaks a rule
   * @throws EmitFailedException when the database could not record them
   */
  public List<String> emitAll(Connection connection, List<EventDraft> drafts, Cause cause) {
    List<EventDraft> caused = drafts.stream().map(draft -> caused(draft, cause)).toList();
    return run(() -> new EventBatch(connection).emitAll(caused, OptionalInt.of(cause.depth())));
  }

  /**
   * Emits a stream of events by one COPY, the fastest way in for bulk. The stream is read as it is
   * sent and never held; its own exceptions end the call. Needs the driver's own connection within
   * reach of {@code unwrap}. An event that does not say when it occurred did so when the call
   * began. None may have a cause or extensions.
   *
   * @return how many were sent, repetitions included
   * @throws InvalidEventException when one breaks a rule
   * @throws EmitFailedException when the database could not record them
   */
  public long copy(Connection connection, Iterator<EventDraft> drafts) {
    return run(() -> new EventCopy(connection).copy(drafts));
  }

  /**
   * The same for a stream, which the caller closes.
   *
   * @return how many were sent, repetitions included
   * @throws InvalidEventException when one breaks a rule
   * @throws EmitFailedException when the database could not record them
   */
  public long copy(Connection connection, Stream<EventDraft> drafts) {
    return copy(connection, drafts.iterator());
  }

  private static EventDraft caused(EventDraft draft, Cause cause) {
    return draft
        .withCausationId(cause.eventId())
        .withCorrelationId(draft.correlationId().orElse(cause.correlationId()));
  }

  private static <T> T run(AllOrNothing.Work<T> work) {
    try {
      return work.run();
    } catch (SQLException e) {
      throw Refusal.of(e);
    }
  }
}
