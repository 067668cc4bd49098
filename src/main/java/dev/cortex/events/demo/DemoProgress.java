package dev.cortex.events.demo;

import java.time.Duration;

/**
 * How a run stands.
 *
 * @param elapsed since the fleet began
 * @param emitted by the fleet
 * @param handled deliveries done
 * @param waiting deliveries that are due or running
 * @param retrying deliveries that wait for another attempt
 * @param dead deliveries that failed for the last time
 * @param workers worker processes that live
 * @param silent simulated workers that are known to be silent
 */
public record DemoProgress(
    Duration elapsed,
    long emitted,
    long handled,
    long waiting,
    long retrying,
    long dead,
    int workers,
    long silent) {}
