package dev.cortex.events.demo;

import java.util.ArrayList;
import java.util.List;

/** What was emitted, written down outside the database. For one thread. */
final class Ledger {
  private final List<String> committed = new ArrayList<>();
  private final List<String> rolledBack = new ArrayList<>();

  void committed(List<String> eventIds) {
    committed.addAll(eventIds);
  }

  void rolledBack(List<String> eventIds) {
    rolledBack.addAll(eventIds);
  }

  /** Public ids whose transaction was committed. */
  List<String> committed() {
    return List.copyOf(committed);
  }

  /** Public ids whose transaction was rolled back. */
  List<String> rolledBack() {
    return List.copyOf(rolledBack);
  }
}
