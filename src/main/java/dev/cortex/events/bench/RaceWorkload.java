package dev.cortex.events.bench;

import java.util.ArrayList;
import java.util.List;

/**
 * A workload that is a race: the same work by each contender in turn.
 *
 * @param share how many of the benchmark's events it takes: one in this many, for slow work
 */
record RaceWorkload(String name, int share, Field field) implements Workload {

  /** Brings the contenders to the start. */
  interface Field {
    List<Contender> contenders(Ground ground) throws Exception;
  }

  static Workload emitSingle() {
    return new RaceWorkload("emit-single", 10, EmitContender::single);
  }

  static Workload emitBulk() {
    return new RaceWorkload("emit-bulk", 1, EmitContender::bulk);
  }

  static Workload drainNoOp() {
    return new RaceWorkload("drain-noop", 1, ground -> drain(ground, false, "noop"));
  }

  static Workload drainInsert() {
    return new RaceWorkload("drain-insert", 1, ground -> drain(ground, true, "insert"));
  }

  /** No peer hands its user a list in the transaction of the acknowledgement, pg-boss aside. */
  static Workload drainBatch() {
    return new RaceWorkload(
        "drain-batch",
        1,
        ground ->
            List.of(
                new DrainFloor(ground, true), EngineContender.of("cortex", ground, "batch", 1)));
  }

  static Workload twoProcesses() {
    return new RaceWorkload("two-processes", 1, ground -> oneAndTwo(ground, "noop"));
  }

  /** A wait of 2 ms in the handler: four slots of one process make 2,000 events/s at most. */
  static Workload twoProcessesWaiting() {
    return new RaceWorkload("two-processes-wait", 10, ground -> oneAndTwo(ground, "wait"));
  }

  static List<Contender> oneAndTwo(Ground ground, String kind) throws Exception {
    return List.of(
        EngineContender.of("1 process", ground, kind, 1),
        EngineContender.of("2 processes", ground, kind, 2));
  }

  private static List<Contender> drain(Ground ground, boolean hasEffect, String kind)
      throws Exception {
    List<Contender> contenders = new ArrayList<>();
    contenders.add(new DrainFloor(ground, hasEffect));
    contenders.add(EngineContender.of("cortex", ground, kind, 1));
    contenders.addAll(PeerContender.all(ground, kind));
    return contenders;
  }

  @Override
  public void run(Ground ground, Results results) throws Exception {
    int events = Math.max(1, ground.options().events() / share);
    ground.race().run(name, field.contenders(ground), events, results);
  }
}
