package dev.cortex.events.cli;

import dev.cortex.events.fleet.Scripts;
import dev.cortex.events.handler.HandlerDefinition;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The handlers of a worker, of which some have two implementations: Java code, and a program of the
 * same name, which is on whatever the code is on. {@link Scripts} are programs whose Java code is
 * several other handlers.
 */
final class Implementations {
  private final Map<String, HandlerDefinition> java = new LinkedHashMap<>();
  private final Map<String, HandlerDefinition> programs = new LinkedHashMap<>();

  Implementations(List<HandlerDefinition> java, List<HandlerDefinition> programs) {
    java.forEach(one -> this.java.put(one.name(), one));
    programs.forEach(
        one -> {
          @Nullable HandlerDefinition other = this.java.get(one.name());
          HandlerDefinition program = other == null ? one : onWhat(other, one);
          if (this.programs.put(one.name(), program) != null) {
            throw new IllegalArgumentException(
                "two programs may not be one handler, two were \"" + one.name() + "\"");
          }
        });
  }

  /**
   * The program, subscribed as the code is, and limited as the code is unless it says otherwise; no
   * leased handler has an order.
   */
  private static HandlerDefinition onWhat(HandlerDefinition code, HandlerDefinition program) {
    if (code.order().isPresent()) {
      throw new IllegalArgumentException(
          "an ordered handler may not be a program, \"" + code.name() + "\" is ordered");
    }
    return new HandlerDefinition(
        program.name(),
        code.patterns(),
        program.work(),
        program.retry(),
        program.maxBatch(),
        program.timeBudget(),
        code.requirement(),
        program.order(),
        program.maxRunning().isPresent() ? program.maxRunning() : code.maxRunning(),
        code.maxEmitted());
  }

  /** Whether any handler has both. */
  boolean hasChoice() {
    return java.keySet().stream().anyMatch(programs::containsKey);
  }

  /** The handlers whose programs run only where an operator has chosen them. */
  List<String> programsToChoose() {
    return programs.keySet().stream()
        .filter(name -> java.containsKey(name) || Scripts.NAMES.contains(name))
        .sorted()
        .toList();
  }

  /** The names of those that have Java code, here or beside a script. */
  Set<String> javaCode() {
    return Stream.concat(java.keySet().stream(), Scripts.NAMES.stream())
        .collect(Collectors.toUnmodifiableSet());
  }

  /** What to run: the program where there is no other, or where it is chosen. */
  List<HandlerDefinition> chosen(Set<String> byPrograms) {
    Map<String, HandlerDefinition> chosen = new LinkedHashMap<>(java);
    programs.forEach(
        (name, program) -> {
          if (!java.containsKey(name) || byPrograms.contains(name)) {
            chosen.put(name, program);
          }
        });
    return new ArrayList<>(chosen.values());
  }

  /** Of those, what is chosen nowhere else: no code whose program is chosen and not here. */
  List<HandlerDefinition> onlyChosen(Set<String> byPrograms) {
    return chosen(byPrograms).stream()
        .filter(one -> programs.containsKey(one.name()) || !byPrograms.contains(one.name()))
        .toList();
  }

  /** Of these, those that have both; anybody else's make no difference here. */
  Set<String> relevant(Set<String> byPrograms) {
    return byPrograms.stream()
        .filter(name -> java.containsKey(name) && programs.containsKey(name))
        .collect(Collectors.toUnmodifiableSet());
  }
}
