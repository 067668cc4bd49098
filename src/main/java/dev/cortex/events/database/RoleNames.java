package dev.cortex.events.database;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * The roles that share the work on the schema. None of them is a login: logins are made members.
 *
 * @param owner owns every object; migrations act as it
 * @param emitter may emit events
 * @param worker may claim, handle and acknowledge
 * @param auditor may read everything, payloads included
 * @param operator may read everything, retry, redrive, cancel, pause, resume and import
 */
public record RoleNames(
    String owner, String emitter, String worker, String auditor, String operator) {
  /** What needs no quoting, so that a script may hold the name as it is. */
  private static final Pattern NAME = Pattern.compile("[a-z_][a-z0-9_]{0,62}");

  /** Checks that every name is a plain identifier and that no two are the same. */
  public RoleNames {
    List<String> names = List.of(owner, emitter, worker, auditor, operator);
    for (String name : names) {
      if (!NAME.matcher(name).matches()) {
        throw new IllegalArgumentException("role name must match " + NAME + ": " + name);
      }
    }
    if (new LinkedHashSet<>(names).size() < names.size()) {
      throw new IllegalArgumentException("role names must differ: " + names);
    }
  }

  /** {@code cortex_owner}, {@code cortex_emitter} and so on. */
  public static RoleNames defaults() {
    return withPrefix("cortex_");
  }

  /** The default names with another beginning, for a second installation on one server. */
  public static RoleNames withPrefix(String prefix) {
    return new RoleNames(
        prefix + "owner",
        prefix + "emitter",
        prefix + "worker",
        prefix + "auditor",
        prefix + "operator");
  }

  /** The roles that logins are made members of: all but the owner. */
  public List<String> members() {
    return List.of(emitter, worker, auditor, operator);
  }

  Map<String, String> placeholders() {
    return Map.of(
        "owner", owner,
        "emitter", emitter,
        "worker", worker,
        "auditor", auditor,
        "operator", operator);
  }
}
