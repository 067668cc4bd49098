package dev.cortex.events.outbox;

import java.util.Optional;

/**
 * How an archive is taken in.
 *
 * @param olderLines as what lines that are no envelopes are taken; absent: they are quarantined
 * @param deliver whether handlers get the events; else they go to the log only, so that a failure
 *     of a year ago restarts nothing
 * @param dryRun whether to say what would happen and write nothing. It does the work and takes it
 *     back, batch by batch, so it costs what the import costs; a table of its own session knows the
 *     ids that it has come past. Never delivers
 */
public record ImportOptions(Optional<OlderLines> olderLines, boolean deliver, boolean dryRun) {
  /** Envelopes only, to the log only, for real. */
  public static ImportOptions defaults() {
    return new ImportOptions(Optional.empty(), false, false);
  }

  /** With older lines taken as events of this type and source. */
  public ImportOptions withOlderLines(String type, String source) {
    return new ImportOptions(Optional.of(new OlderLines(type, source)), deliver, dryRun);
  }

  /** With the events handed to handlers, or not. */
  public ImportOptions withDeliver(boolean deliver) {
    return new ImportOptions(olderLines, deliver, dryRun);
  }

  /** With nothing written in the end, or for real. */
  public ImportOptions withDryRun(boolean dryRun) {
    return new ImportOptions(olderLines, deliver, dryRun);
  }
}
