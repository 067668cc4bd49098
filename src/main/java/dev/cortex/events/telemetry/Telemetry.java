package dev.cortex.events.telemetry;

/**
 * Receives what the engine tells. Called by several threads at once; must be quick and not throw.
 */
@FunctionalInterface
public interface Telemetry {

  /** Takes note of an engine event. */
  void record(EngineEvent event);

  /** The same, but what it throws is logged and goes no further. */
  default Telemetry guarded() {
    return event -> {
      try {
        record(event);
      } catch (RuntimeException | Error e) {
        LogTelemetry.failed(event, e);
      }
    };
  }

  /** Log lines by SLF4J: the default. */
  static Telemetry toLog() {
    return new LogTelemetry();
  }

  /** Tells nobody. */
  static Telemetry silent() {
    return event -> {};
  }
}
