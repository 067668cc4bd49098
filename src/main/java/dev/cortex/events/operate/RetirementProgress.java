package dev.cortex.events.operate;

/**
 * How far the retirement of a handler has come.
 *
 * @param cancelled deliveries cancelled
 * @param isRetired nothing is left of it. Until then the workers go on by themselves.
 */
public record RetirementProgress(long cancelled, boolean isRetired) {}
