package dev.cortex.events.bench;

/** Something to measure. Leaves what it found in the results. */
interface Workload {
  /** How it is called on the command line and in the results. */
  String name();

  void run(Ground ground, Results results) throws Exception;
}
