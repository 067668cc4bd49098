package dev.cortex.events.event;

/** How urgent an event is; the order of the constants is the order of claiming. */
public enum Priority {
  CRITICAL("critical"),
  HIGH("high"),
  MEDIUM("medium"),
  LOW("low");

  private final String label;

  Priority(String label) {
    this.label = label;
  }

  /** The word for it in SQL, JSON and on the command line, such as {@code high}. */
  public String label() {
    return label;
  }

  /**
   * The priority with this label.
   *
   * @throws InvalidEventException when there is none
   */
  public static Priority of(String label) {
    for (Priority priority : values()) {
      if (priority.label.equals(label)) {
        return priority;
      }
    }
    throw new InvalidEventException("priority", "must be critical, high, medium or low", label);
  }
}
