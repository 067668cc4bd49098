package dev.cortex.events.worker;

/** Counts what one handling emits. Of the handler's thread. */
final class EmitLimit {
  private final long limit;
  private long emitted;

  EmitLimit(long limit) {
    this.limit = limit;
  }

  /** To be called before each emit. */
  void count() {
    emitted++;
    check();
  }

  /** Whether a handler has gone on after it was told. */
  void check() {
    if (emitted > limit) {
      throw new EmittedTooMuchException(limit);
    }
  }
}
