package dev.cortex.events.cli;

import dev.cortex.events.database.RoleNames;

/** The least role that a command needs, which it takes where the login is a member of it. */
enum Role {
  OWNER,
  EMITTER,
  WORKER,
  AUDITOR,
  OPERATOR;

  String in(RoleNames names) {
    return switch (this) {
      case OWNER -> names.owner();
      case EMITTER -> names.emitter();
      case WORKER -> names.worker();
      case AUDITOR -> names.auditor();
      case OPERATOR -> names.operator();
    };
  }
}
