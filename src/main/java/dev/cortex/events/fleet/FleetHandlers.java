package dev.cortex.events.fleet;

import dev.cortex.events.archive.Archive;
import dev.cortex.events.handler.HandlerDefinition;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;

/** The handlers of the fleet, for a worker to run. */
public final class FleetHandlers {
  private FleetHandlers() {}

  /** All of them. A worker with them starts only on a schema {@code fleet} that is new enough. */
  public static List<HandlerDefinition> all() {
    return Stream.of(
            HandlerDefinition.batch(WorkerHealth.NAME, new WorkerHealth())
                .on("worker.started", "worker.heartbeat", "worker.completed", "worker.failed"),
            HandlerDefinition.oneByOne("stale-workers", new StaleWorkers())
                .on("worker.stale_check_requested")
                .withMaxBatch(1),
            HandlerDefinition.batch("health-alerts", new HealthAlerts()).on("system.health_alert"),
            HandlerDefinition.batch("task-outcomes", new TaskOutcomes())
                .on("task.completed", "task.failed"),
            HandlerDefinition.oneByOne("learning-cycle", new LearningCycle())
                .on("learning.cycle_requested")
                .withMaxBatch(1)
                .withTimeBudget(Duration.ofMinutes(5)),
            HandlerDefinition.batch("learned-patterns", new LearnedPatterns())
                .on("learning.pattern_detected"),
            HandlerDefinition.oneByOne("cleanup", new Cleanup())
                .on("system.cleanup_needed")
                .withMaxBatch(1)
                .withTimeBudget(Duration.ofMinutes(5)))
        .map(handler -> handler.withRequirement(FleetSchema::require))
        .toList();
  }

  /**
   * The one that archives what is too old, with the rights of the archive's login: only a member of
   * the owner role may. Where no worker is one, {@code cortex archive run} does the same.
   */
  public static HandlerDefinition archive(Archive archive) {
    return HandlerDefinition.leased("archive", new ArchiveRequests(archive))
        .on("system.cleanup_needed")
        .withMaxRunning(1)
        .withTimeBudget(Duration.ofHours(12))
        .withRequirement(FleetSchema::require);
  }
}
