package dev.cortex.bench.peers;

/** A queue that is filled and drained. */
interface Peer extends AutoCloseable {
  /** As large as the payload of an event in the benchmark: about 190 bytes. */
  String PAYLOAD =
      "{\"task_id\": \"task-4711\", \"worker_id\": \"worker-7\", \"duration_ms\": 1234, \"note\": \""
          + "x".repeat(110)
          + "\"}";

  void fill(int jobs) throws Exception;

  /** Starts working and returns how many jobs were handled when none is left. */
  long drain() throws Exception;

  /** Stops working. */
  void stop() throws Exception;
}
