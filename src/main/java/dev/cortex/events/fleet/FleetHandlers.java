package dev.cortex.events.fleet;

import dev.cortex.events.archive.Archive;
import dev.cortex.events.handler.HandlerDefinition;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;

/** The handlers of the fleet, for a worker to run. */
public final class FleetHandlers {
  /** The name of the one that needs the owner's rights. */
  public static final String ARCHIVE = "archive";

  private FleetHandlers() {}

  /** All of them. A worker with them starts only on a schema {@code fleet} that is new enough. */
  public static List<HandlerDefinition> all() {
    return Stream.of(workers(), tasks(), learning(), security(), system())
        .flatMap(handlers -> handlers)
        .map(handler -> handler.withRequirement(FleetSchema::require))
        .toList();
  }

  /**
   * The one that archives what is too old, with the rights of the archive's login: only a member of
   * the owner role may. Where no worker is one, {@code cortex archive run} does the same.
   */
  public static HandlerDefinition archive(Archive archive) {
    return HandlerDefinition.leased(ARCHIVE, new ArchiveRequests(archive))
        .on("system.cleanup_needed")
        .withMaxRunning(1)
        .withTimeBudget(Duration.ofHours(12))
        .withRequirement(FleetSchema::require);
  }

  private static Stream<HandlerDefinition> workers() {
    return Stream.of(
        HandlerDefinition.batch(WorkerHealth.NAME, new WorkerHealth())
            .on("worker.started", "worker.heartbeat", "worker.completed", "worker.failed"),
        HandlerDefinition.oneByOne(StaleWorkers.NAME, new StaleWorkers())
            .on("worker.stale_check_requested")
            .withMaxBatch(1),
        HandlerDefinition.batch(WorkerRestarts.NAME, new WorkerRestarts())
            .on("worker.failed", "system.health_alert"),
        HandlerDefinition.batch(CompletedWorkers.NAME, new CompletedWorkers())
            .on("worker.completed"));
  }

  private static Stream<HandlerDefinition> tasks() {
    return Stream.of(
        HandlerDefinition.batch(TaskBoard.NAME, new TaskBoard())
            .on("task.created", "task.assigned", "task.completed", "task.failed")
            .on("worker.completed"),
        HandlerDefinition.batch("task-outcomes", new TaskOutcomes())
            .on("task.completed", "task.failed"),
        HandlerDefinition.batch(FailurePatterns.NAME, new FailurePatterns()).on("task.failed"),
        HandlerDefinition.batch(AutoFix.NAME, new AutoFix()).on("task.failed"));
  }

  private static Stream<HandlerDefinition> learning() {
    return Stream.of(
        HandlerDefinition.batch(RoutingDecisions.NAME, new RoutingDecisions())
            .on("routing.decision_made"),
        HandlerDefinition.oneByOne(LearningCycle.NAME, new LearningCycle())
            .on("learning.cycle_requested")
            .withMaxBatch(1)
            .withMaxEmitted(LearningCycle.MAX_EMITTED)
            .withTimeBudget(Duration.ofMinutes(5)),
        HandlerDefinition.batch("learned-patterns", new LearnedPatterns())
            .on("learning.pattern_detected"));
  }

  private static Stream<HandlerDefinition> security() {
    return Stream.of(
        HandlerDefinition.batch(SecurityScans.NAME, new SecurityScans())
            .on("security.scan_completed"),
        HandlerDefinition.batch("vulnerabilities", new Vulnerabilities())
            .on("security.vulnerability_found"));
  }

  private static Stream<HandlerDefinition> system() {
    return Stream.of(
        HandlerDefinition.batch("health-alerts", new HealthAlerts()).on("system.health_alert"),
        HandlerDefinition.batch(Metrics.NAME, new Metrics())
            .on("worker.*", "task.*", "security.*", "routing.*", "learning.*", "system.*")
            .on("daemon.*"),
        HandlerDefinition.oneByOne(Anomalies.NAME, new Anomalies())
            .on("system.anomaly_check_requested")
            .withMaxBatch(1),
        HandlerDefinition.oneByOne(ObservabilityChecks.NAME, new ObservabilityChecks())
            .on("system.observability_check")
            .withMaxBatch(1),
        HandlerDefinition.oneByOne(DaemonStarts.NAME, new DaemonStarts())
            .on("system.daemon_start_requested")
            .withMaxBatch(1),
        HandlerDefinition.oneByOne(StartUps.NAME, new StartUps(FleetHandlers::names))
            .on("daemon.started")
            .withMaxBatch(1),
        HandlerDefinition.oneByOne(ShutDowns.NAME, new ShutDowns())
            .on("daemon.stopped")
            .withMaxBatch(1),
        HandlerDefinition.oneByOne("cleanup", new Cleanup())
            .on("system.cleanup_needed")
            .withMaxBatch(1)
            .withTimeBudget(Duration.ofMinutes(5)));
  }

  private static List<String> names() {
    return all().stream().map(HandlerDefinition::name).toList();
  }
}
