package dev.cortex.events.worker;

import java.lang.reflect.Proxy;
import java.sql.Connection;

/** What only reflection gets a handler: the connection behind the one that it is given. */
final class PastTheGuard {
  private PastTheGuard() {}

  static Connection of(Connection guarded) {
    return (Connection) ((GuardedConnection.Guard) Proxy.getInvocationHandler(guarded)).target;
  }
}
