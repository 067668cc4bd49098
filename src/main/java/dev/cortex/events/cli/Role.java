package dev.cortex.events.cli;

import dev.cortex.events.database.RoleNames;
import java.util.function.Function;

/** The least role that a command needs, which it takes where the login is a member of it. */
enum Role {
  EMITTER(RoleNames::emitter),
  WORKER(RoleNames::worker),
  AUDITOR(RoleNames::auditor),
  OPERATOR(RoleNames::operator);

  private final Function<RoleNames, String> name;

  Role(Function<RoleNames, String> name) {
    this.name = name;
  }

  String in(RoleNames names) {
    return name.apply(names);
  }
}
