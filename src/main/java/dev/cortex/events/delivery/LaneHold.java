package dev.cortex.events.delivery;

/**
 * What was true of a lane when a delivery was claimed in it.
 *
 * @param version the lane's version; another one says that an operator has changed what is in it
 * @param floor nothing of the delivery's key was open below this number, or can still be committed
 */
public record LaneHold(long version, long floor) {}
