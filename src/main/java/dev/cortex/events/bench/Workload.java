package dev.cortex.events.bench;

/** Something to measure, each time in events per second. */
interface Workload {
  String name();

  /** The server's own limit for the same work. */
  double floor() throws Exception;

  double engine() throws Exception;
}
