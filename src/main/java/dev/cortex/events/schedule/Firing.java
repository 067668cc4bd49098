package dev.cortex.events.schedule;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What one call of {@link Timekeeper#fireDue} did.
 *
 * @param fires what it fired, by the schedules' names
 * @param untilNext how long until another schedule is due, by the database's clock; zero when one
 *     is already; empty when there is none. A schedule that is added or changed meanwhile may be
 *     due earlier, so look again after some seconds in any case
 */
public record Firing(List<Fire> fires, Optional<Duration> untilNext) {
  public Firing {
    fires = List.copyOf(fires);
  }
}
