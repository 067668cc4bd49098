package dev.cortex.events.database;

/**
 * One step of a schema.
 *
 * @param schema {@code cortex} or {@code fleet}
 * @param version the step's number, or {@code repeatable} for a step that is run again when its
 *     text changes
 * @param description what the step does, in words
 */
public record Migration(String schema, String version, String description) {
  static final String REPEATABLE = "repeatable";

  /** As in a list: {@code cortex 1 events and deliveries}. */
  @Override
  public String toString() {
    return schema + " " + version + " " + description;
  }
}
