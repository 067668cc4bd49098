package dev.cortex.events.archive;

import dev.cortex.events.archive.Retention.TypeRetention;
import java.sql.SQLException;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Counts what a run would remove, and changes nothing. */
final class DryRun {
  /** Parameter: its name. A month that is detached has rows that its parent does not show. */
  private static final String ROWS = "select cortex.rows_of_partition(?)";

  /** Of months that stay. Parameters: names, until, from. */
  private static final String ROWS_OF_TYPE =
      """
      select count(*) from cortex.events e where e.type = any (?) and e.received_at < ? and e.received_at >= ?
      """;

  /** Parameters: before when, the oldest month that stays. */
  private static final String KEYS =
      "select count(*) from cortex.dedupe_keys k where k.event_at < least(?::timestamptz, ?::timestamptz)";

  private static final String FIRES = "select count(*) from cortex.fires f where f.fired_at < ?";

  private static final String WORKERS =
      "select count(*) from cortex.workers w where w.stopped_at < least(?::timestamptz, ?::timestamptz)";

  private final ArchiveStore store;

  DryRun(ArchiveStore store) {
    this.store = store;
  }

  ArchiveReport run() throws SQLException {
    Retention retention = store.settings();
    Map<String, Long> rows = new LinkedHashMap<>();
    List<Partition> due =
        store.partitions().stream().filter(each -> ArchiveRun.isDue(each, retention)).toList();
    long expired = 0;
    for (Partition partition : due) {
      rows.merge(partition.parent(), store.number(ROWS, partition.name()), Long::sum);
      expired += partition.isOfEvents() ? store.openDeliveries(partition) : 0;
    }
    Instant firstKept = firstKept("events", retention);
    for (TypeRetention type : retention.types()) {
      rows.merge("events", store.rowsOf(ROWS_OF_TYPE, type, firstKept), Long::sum);
    }
    var records = ArchiveStore.time(retention.recordsKeptFrom());
    rows.put("dedupe_keys", store.number(KEYS, records, ArchiveStore.time(firstKept)));
    rows.put("fires", store.number(FIRES, records));
    rows.put(
        "workers",
        store.number(WORKERS, records, ArchiveStore.time(firstKept("attempts", retention))));
    return new ArchiveReport(rows, expired, List.of(), List.of(), List.of(), true);
  }

  /** When the oldest month begins that a run leaves. */
  private Instant firstKept(String parent, Retention retention) throws SQLException {
    return store.partitions().stream()
        .filter(each -> each.parent().equals(parent) && !ArchiveRun.isDue(each, retention))
        .map(Partition::startsAt)
        .findFirst()
        .orElse(retention.now());
  }
}
