package dev.cortex.events.telemetry;

import java.time.Duration;
import java.time.Instant;
import java.util.List;

/** Something that the engine did or met with. Durations are wall-clock time of this process. */
public sealed interface EngineEvent {

  /** A worker process runs. */
  record WorkerStarted(int workerId, String name, List<String> handlers) implements EngineEvent {}

  /** A worker process has ended in order; what it held is finished or given back. */
  record WorkerStopped(int workerId, String name) implements EngineEvent {}

  /** No known type matches a pattern of a handler: a slip, or a type that is still to come. */
  record PatternUnmatched(String handler, String pattern) implements EngineEvent {}

  /** Another worker process ended without a goodbye; its deliveries are free again. */
  record WorkerVanished(int workerId) implements EngineEvent {}

  /** A batch was handled and acknowledged in one commit. */
  record BatchHandled(String handler, int events, Duration duration) implements EngineEvent {}

  /** A batch failed as a whole, of whatever cause, and runs again event by event. */
  record BatchRedone(String handler, int events) implements EngineEvent {}

  /** A batch met a deadlock, a serialization failure or a lock timeout, and shrinks. */
  record BatchClashed(String handler, int events) implements EngineEvent {}

  /**
   * A batch ran longer than its handler's time budget, and its connection was cut. What takes long
   * is for a leased handler, whose time holds no transaction open.
   *
   * @param mode transactional, batch or leased
   */
  record BatchOverran(String handler, String mode, int events) implements EngineEvent {}

  /**
   * A handler does not return, although its connection was cut and its thread interrupted: the
   * thread is lost, and another slot, or place for a lease, takes its place.
   *
   * @param mode transactional, batch or leased
   * @param slot the number of the slot; of a leased handler, of the place
   */
  record SlotLost(String handler, String mode, int slot) implements EngineEvent {}

  /**
   * A session's transaction was ended that ran for more than twice its handler's time budget, since
   * its own worker did not end it.
   */
  record TransactionEnded(String handler) implements EngineEvent {}

  /** A handler left something behind in its session, which was closed; its effects persist. */
  record SessionChanged(String handler, List<String> changes) implements EngineEvent {}

  /** An attempt did not end with done. */
  record AttemptSettled(
      String handler, String eventId, int attempt, String outcome, String reason, Duration delay)
      implements EngineEvent {}

  /**
   * This process tells a handler that its lease is lost: it could not be renewed in time ({@code
   * lapsed}), or the delivery was cancelled or leased by another worker ({@code gone}).
   */
  record LeaseLost(String handler, String eventId, long fence, String reason)
      implements EngineEvent {}

  /** What a handler did under a lease that is lost was refused, and its transaction rolled back. */
  record LeaseRefused(String handler, String eventId, long fence) implements EngineEvent {}

  /** A part of the worker cannot reach the database, and goes on trying. */
  record DatabaseLost(String part, String sqlState) implements EngineEvent {}

  /** A part of the worker reaches the database again. */
  record DatabaseBack(String part) implements EngineEvent {}

  /** A part of the worker failed in a way that is a fault of this program, and goes on. */
  record PartFailed(String part, Throwable error) implements EngineEvent {}

  /** Notifications do not arrive on the listening connection: the worker polls. */
  record WakeUpUnavailable() implements EngineEvent {}

  /** A schedule fired. */
  record ScheduleFired(String schedule, Instant fireAt, String eventId) implements EngineEvent {}

  /**
   * Events that waited in a spool were moved into the log, or what they were not into the
   * quarantine.
   */
  record SpoolDrained(long delivered, long quarantined, long damaged) implements EngineEvent {}

  /** Partitions of the coming months were made. */
  record PartitionsMade(int partitions) implements EngineEvent {}
}
