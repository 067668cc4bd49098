package dev.cortex.events.database;

/**
 * One server of an address: a host name or IP address and a TCP port. No message shows either:
 * where an address is written wrongly, it may be a part of the password.
 *
 * @param name never blank, an IPv6 address without its brackets
 * @param port 1 to 65535
 */
public record DatabaseHost(String name, int port) {
  /** Checks the name and the port. */
  public DatabaseHost {
    if (name.isBlank()) {
      throw new InvalidAddressException("host", "must not be blank");
    }
    if (name.startsWith("/")) {
      throw new InvalidAddressException(
          "host", "must be a name or an address, since sockets are not supported");
    }
    if (port < 1 || port > 65535) {
      throw new InvalidAddressException("port", "must be from 1 to 65535");
    }
  }

  static DatabaseHost of(String name, String port) {
    try {
      return new DatabaseHost(name, Integer.parseInt(port));
    } catch (NumberFormatException e) {
      throw new InvalidAddressException("port", "must be a number from 1 to 65535");
    }
  }

  boolean isLoopback() {
    return name.equals("localhost") || name.startsWith("127.") || name.equals("::1");
  }

  /** As in a URL: {@code name:port}. */
  @Override
  public String toString() {
    return (name.indexOf(':') >= 0 ? "[" + name + "]" : name) + ":" + port;
  }
}
