package dev.cortex.events.archive;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/** Which events a file holds: exactly those may be deleted, and no late one between them. */
final class ArchivedRows {
  private final List<Long> ids = new ArrayList<>();
  private final List<Instant> times = new ArrayList<>();

  void add(long id, Instant receivedAt) {
    ids.add(id);
    times.add(receivedAt);
  }

  int size() {
    return ids.size();
  }

  long lastId() {
    return ids.isEmpty() ? 0 : ids.get(ids.size() - 1);
  }

  Long[] ids() {
    return ids.toArray(Long[]::new);
  }

  Instant[] times() {
    return times.toArray(Instant[]::new);
  }

  /** In pieces of at most so many. */
  List<ArchivedRows> pieces(int most) {
    List<ArchivedRows> pieces = new ArrayList<>();
    for (int i = 0; i < ids.size(); i++) {
      if (i % most == 0) {
        pieces.add(new ArchivedRows());
      }
      pieces.get(pieces.size() - 1).add(ids.get(i), times.get(i));
    }
    return pieces;
  }
}
