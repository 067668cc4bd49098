package dev.cortex.events.handler;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import java.sql.Connection;
import java.sql.SQLException;

/** What a leased handler has beside its event. Confined to its thread, {@link #isLost} aside. */
public interface LeaseContext {

  /** Writes the effects of an event in the database. */
  @FunctionalInterface
  interface Completion {
    /**
     * Writes through the connection, at READ COMMITTED. The transaction belongs to the engine, as
     * that of {@link HandlerContext#connection} does. May be called again when it met with a rival.
     */
    void write(Connection connection) throws SQLException;
  }

  /** The name of the handler. */
  String handler();

  /** Which attempt this is, from 1; attempts that were not charged count once only. */
  int attempt();

  /** 0 for the original delivery, n for the n-th replay of the event. */
  int generation();

  /**
   * The same for every attempt of this delivery, also when the handler is renamed in between, and
   * for no other: what tells the other side that it has seen this before. The event's id, the
   * handler's number and the generation, with a slash between them.
   */
  String idempotencyKey();

  /**
   * What the event's envelope has beside the fields of an {@link dev.cortex.events.event.Event}, as
   * old scripts write it; empty for most.
   */
  Json extensions();

  /**
   * The number of this lease. It rises with every lease of the delivery: who remembers the highest
   * one seen can refuse what an earlier one still does.
   */
  long fence();

  /**
   * Whether the lease is lost, or the work is not wanted any more: the lease could not be renewed
   * in time, an operator has cancelled the delivery, the time budget is over or the worker stops
   * and gives the delivery back. Then stop: somebody else may be running the event already. May be
   * asked by any thread.
   */
  boolean isLost();

  /**
   * Emits an event together with the acknowledgement, in one transaction, with the handled event as
   * its cause. With a lost lease nothing is emitted.
   */
  void emit(EventDraft draft);

  /**
   * Writes to the database together with the acknowledgement, in one transaction: with a lost lease
   * nothing of it persists. Run after the handler has returned done, in the order given.
   */
  void complete(Completion completion);
}
