package dev.cortex.events.outbox;

import dev.cortex.events.event.Defect;
import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;

/**
 * What became of an archive. Every document that was read is accepted, a duplicate, or quarantined;
 * on a second run over the same archive all are duplicates.
 *
 * @param accepted events that the log did not have
 * @param duplicate events that it had, and what the quarantine had
 * @param quarantined what is no event, by defect; a defect that did not occur is not named
 */
public record ImportSummary(long accepted, long duplicate, Map<Defect, Long> quarantined) {
  /** Copies the map. */
  public ImportSummary {
    Map<Defect, Long> copy = new EnumMap<>(Defect.class);
    copy.putAll(quarantined);
    quarantined = Collections.unmodifiableMap(copy);
  }

  static ImportSummary nothing() {
    return new ImportSummary(0, 0, Map.of());
  }

  /** Documents read. */
  public long read() {
    return accepted + duplicate + quarantinedInAll();
  }

  /** Documents quarantined for whatever defect. */
  public long quarantinedInAll() {
    return quarantined.values().stream().mapToLong(Long::longValue).sum();
  }

  ImportSummary plusEvents(long newOnes, long repetitions) {
    return new ImportSummary(accepted + newOnes, duplicate + repetitions, quarantined);
  }

  ImportSummary plusQuarantined(Defect defect) {
    Map<Defect, Long> more = new EnumMap<>(Defect.class);
    more.putAll(quarantined);
    more.merge(defect, 1L, Long::sum);
    return new ImportSummary(accepted, duplicate, more);
  }
}
