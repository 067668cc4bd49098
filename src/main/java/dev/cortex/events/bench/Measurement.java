package dev.cortex.events.bench;

/**
 * One line of the result.
 *
 * @param workload what was measured
 * @param eventsPerSecond the engine's median over the rounds
 * @param floorPerSecond the server's own, measured in the same rounds
 */
public record Measurement(String workload, double eventsPerSecond, double floorPerSecond) {

  /** How much of the floor the engine reaches. */
  public double ratio() {
    return eventsPerSecond / floorPerSecond;
  }
}
