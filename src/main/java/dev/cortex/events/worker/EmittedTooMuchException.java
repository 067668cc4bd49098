package dev.cortex.events.worker;

/** A handler emitted more than one handling may. Its attempt fails, whatever it does about it. */
final class EmittedTooMuchException extends IllegalStateException {
  private static final long serialVersionUID = 1L;

  EmittedTooMuchException(long limit) {
    super("one handling may emit at most " + limit + " events");
  }
}
