/**
 * What the engine tells about itself: one vocabulary of engine events ({@link
 * dev.cortex.events.telemetry.EngineEvent}), and the one place that turns them into log lines.
 *
 * <p>Read first: {@code EngineEvent}; docs/telemetry.md is the same as a table. No engine event
 * carries a payload. Nothing in here decides anything, and nothing in here may throw into the
 * engine.
 */
@NullMarked
package dev.cortex.events.telemetry;

import org.jspecify.annotations.NullMarked;
