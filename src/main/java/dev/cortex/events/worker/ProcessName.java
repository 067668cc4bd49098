package dev.cortex.events.worker;

import java.net.InetAddress;
import java.net.UnknownHostException;

/** What a worker is called where nobody names it. */
final class ProcessName {
  private ProcessName() {}

  static String here() {
    return hostName() + ":" + ProcessHandle.current().pid();
  }

  private static String hostName() {
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException e) {
      return "unknown-host";
    }
  }
}
