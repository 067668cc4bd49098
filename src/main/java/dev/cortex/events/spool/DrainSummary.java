package dev.cortex.events.spool;

/**
 * What one drain has done.
 *
 * @param delivered events that the log has now, or had already
 * @param quarantined events that the database has refused
 * @param damaged lines that could not be read; their files are kept aside
 * @param left files that wait on: their last line is being written, or another process drains
 */
public record DrainSummary(long delivered, long quarantined, long damaged, int left) {
  static final DrainSummary NOTHING = new DrainSummary(0, 0, 0, 0);

  /** Whether anything was moved. */
  public boolean hasMoved() {
    return delivered + quarantined + damaged > 0;
  }

  DrainSummary plusDelivered(long more) {
    return new DrainSummary(delivered + more, quarantined, damaged, left);
  }

  DrainSummary plusQuarantined() {
    return new DrainSummary(delivered, quarantined + 1, damaged, left);
  }

  DrainSummary plusDamaged() {
    return new DrainSummary(delivered, quarantined, damaged + 1, left);
  }

  DrainSummary plusLeft(int more) {
    return new DrainSummary(delivered, quarantined, damaged, left + more);
  }
}
