package dev.cortex.events.bench;

/**
 * Fifty counters that an ordinary handler updates, by one and by two worker processes: who meets
 * whom on a row, and what it costs. No deadlock may burn an attempt.
 */
record HotRows() implements Workload {
  private static final int SHARE = 2;

  private static final String BURNT =
      "select count(*) from cortex.attempts where outcome <> 'done'";

  @Override
  public String name() {
    return "hot-rows";
  }

  @Override
  public void run(Ground ground, Results results) throws Exception {
    int events = Math.max(1, ground.options().events() / SHARE);
    long before = ground.count(BURNT);
    ground.race().run(name(), RaceWorkload.oneAndTwo(ground, "hot"), events, results);
    long counted = ground.count("select sum(handled) from cortex_bench.counters");
    if (counted != events) {
      throw new IllegalStateException("counted " + counted + " events of " + events);
    }
    results.add(
        Figure.of(name(), "attempts burnt", (double) (ground.count(BURNT) - before), "attempts"));
  }
}
