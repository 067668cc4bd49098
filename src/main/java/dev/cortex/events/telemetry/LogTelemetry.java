package dev.cortex.events.telemetry;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Engine events as log lines of the logger {@code dev.cortex.events}. DEBUG: one delivery or batch;
 * INFO: a process's life; WARN: something that mends itself; ERROR: a person must act.
 */
final class LogTelemetry implements Telemetry {
  private static final Logger LOG = LoggerFactory.getLogger("dev.cortex.events");
  private static final long RETRIES_TOLD_EVERY = TimeUnit.MINUTES.toNanos(1);
  private static final Set<String> FAILURES_TO_RETRY = Set.of("retry", "crash");

  private final LongSupplier nanoTime;

  /** When a failure to retry was told last, by handler. */
  private final Map<String, Long> retriesTold = new HashMap<>();

  LogTelemetry() {
    this(System::nanoTime);
  }

  LogTelemetry(LongSupplier nanoTime) {
    this.nanoTime = nanoTime;
  }

  @Override
  public void record(EngineEvent event) {
    if (event instanceof EngineEvent.BatchHandled batch) {
      LOG.debug(
          "batch_handled handler={} events={} duration_ms={}",
          batch.handler(),
          batch.events(),
          batch.duration().toMillis());
    } else if (event instanceof EngineEvent.BatchRedone batch) {
      LOG.debug("batch_redone handler={} events={}", batch.handler(), batch.events());
    } else if (event instanceof EngineEvent.BatchClashed batch) {
      LOG.debug("batch_clashed handler={} events={}", batch.handler(), batch.events());
    } else if (event instanceof EngineEvent.BatchOverran batch) {
      LOG.warn(
          "batch_overran handler={} mode={} events={}",
          batch.handler(),
          batch.mode(),
          batch.events());
    } else if (event instanceof EngineEvent.SlotLost lost) {
      LOG.error("slot_lost handler={} mode={} slot={}", lost.handler(), lost.mode(), lost.slot());
    } else if (event instanceof EngineEvent.TransactionEnded ended) {
      LOG.warn("transaction_ended handler={}", ended.handler());
    } else if (event instanceof EngineEvent.SessionChanged session) {
      LOG.warn("session_changed handler={} changes={}", session.handler(), session.changes());
    } else if (event instanceof EngineEvent.AttemptSettled attempt) {
      settled(attempt);
    } else if (event instanceof EngineEvent.LeaseLost lease) {
      LOG.warn(
          "lease_lost handler={} event_id={} fence={} reason={}",
          lease.handler(),
          lease.eventId(),
          lease.fence(),
          lease.reason());
    } else if (event instanceof EngineEvent.LeaseRefused lease) {
      LOG.warn(
          "lease_refused handler={} event_id={} fence={}",
          lease.handler(),
          lease.eventId(),
          lease.fence());
    } else if (event instanceof EngineEvent.PartFailed failure) {
      LOG.error("part_failed part={}", failure.part(), failure.error());
    } else {
      processLife(event);
    }
  }

  static void failed(EngineEvent event, Throwable error) {
    LOG.error("telemetry_failed event={}", event.getClass().getSimpleName(), error);
  }

  private void settled(EngineEvent.AttemptSettled attempt) {
    boolean isWarning =
        attempt.outcome().equals("dead")
            || (FAILURES_TO_RETRY.contains(attempt.outcome()) && isTold(attempt.handler()));
    LOG.atLevel(isWarning ? org.slf4j.event.Level.WARN : org.slf4j.event.Level.DEBUG)
        .log(
            "attempt_settled handler={} event_id={} attempt={} outcome={} reason={} delay_ms={}",
            attempt.handler(),
            attempt.eventId(),
            attempt.attempt(),
            attempt.outcome(),
            attempt.reason(),
            attempt.delay().toMillis());
  }

  /** So that a handler that fails again and again is seen, and does not fill the log. */
  private synchronized boolean isTold(String handler) {
    long now = nanoTime.getAsLong();
    @Nullable Long before = retriesTold.get(handler);
    if (before != null && now - before < RETRIES_TOLD_EVERY) {
      return false;
    }
    retriesTold.put(handler, now);
    return true;
  }

  private static void processLife(EngineEvent event) {
    if (event instanceof EngineEvent.WorkerStarted worker) {
      LOG.info(
          "worker_started worker_id={} name={} handlers={}",
          worker.workerId(),
          worker.name(),
          worker.handlers());
    } else if (event instanceof EngineEvent.WorkerStopped worker) {
      LOG.info("worker_stopped worker_id={} name={}", worker.workerId(), worker.name());
    } else if (event instanceof EngineEvent.PatternUnmatched unmatched) {
      LOG.warn(
          "pattern_unmatched handler={} pattern={}: no known type matches it",
          unmatched.handler(),
          unmatched.pattern());
    } else if (event instanceof EngineEvent.WorkerVanished worker) {
      LOG.warn("worker_vanished worker_id={}", worker.workerId());
    } else if (event instanceof EngineEvent.DatabaseLost lost) {
      LOG.warn("database_lost part={} sqlstate={}", lost.part(), lost.sqlState());
    } else if (event instanceof EngineEvent.DatabaseBack back) {
      LOG.info("database_back part={}", back.part());
    } else if (event instanceof EngineEvent.WakeUpUnavailable) {
      LOG.warn("wake_up_unavailable: notifications do not arrive (a pooler that shares sessions?)");
    } else if (event instanceof EngineEvent.ScheduleFired fire) {
      LOG.info(
          "schedule_fired schedule={} fire_at={} event_id={}",
          fire.schedule(),
          fire.fireAt(),
          fire.eventId());
    } else if (event instanceof EngineEvent.SpoolDrained drained) {
      boolean isWhole = drained.quarantined() + drained.damaged() == 0;
      LOG.atLevel(isWhole ? org.slf4j.event.Level.INFO : org.slf4j.event.Level.WARN)
          .log(
              "spool_drained delivered={} quarantined={} damaged={}",
              drained.delivered(),
              drained.quarantined(),
              drained.damaged());
    } else if (event instanceof EngineEvent.PartitionsMade made) {
      LOG.info("partitions_made partitions={}", made.partitions());
    }
  }
}
