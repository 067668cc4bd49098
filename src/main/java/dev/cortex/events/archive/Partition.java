package dev.cortex.events.archive;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;

/** A month of the log or of the audit, as cortex.partitions has it. */
record Partition(
    String name, String parent, Instant startsAt, Instant endsAt, String state, long oid) {
  private static final DateTimeFormatter MONTH =
      DateTimeFormatter.ofPattern("uuuu-MM").withZone(ZoneOffset.UTC);

  boolean isAttached() {
    return state.equals("attached");
  }

  boolean isDetaching() {
    return state.equals("detaching");
  }

  boolean isOfEvents() {
    return parent.equals("events");
  }

  /** Of its file, within the archive. */
  String stem() {
    return parent + "/" + MONTH.format(startsAt);
  }

  /** Only events are for an import, which takes what ends in .jsonl.gz. */
  String suffix() {
    return isOfEvents() ? ".jsonl.gz" : ".audit.gz";
  }
}
