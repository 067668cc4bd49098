package dev.cortex.events.command;

import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** What a program gets to see of our environment: a plain PATH, and what its operator allows. */
public final class CleanEnvironment {
  private CleanEnvironment() {}

  /** A new one, to be added to: these variables, where they are set. */
  public static Map<String, String> of(Collection<String> allowed, Map<String, String> ours) {
    Map<String, String> clean = new HashMap<>();
    clean.put("PATH", "/usr/local/bin:/usr/bin:/bin");
    for (String name : allowed) {
      Optional.ofNullable(ours.get(name)).ifPresent(value -> clean.put(name, value));
    }
    return clean;
  }
}
