package dev.cortex.events.database;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;

/**
 * A process that uses an embedded server: opens the directory it is told, says so, and stays until
 * its input ends or it is killed.
 */
final class ServerUser {
  private ServerUser() {}

  public static void main(String[] arguments) throws IOException {
    LaunchIdentity identity =
        switch (arguments.length > 1 ? arguments[1] : "detect") {
          case "setpriv" -> LaunchIdentity.setpriv("nobody");
          case "runuser" -> LaunchIdentity.runuser("nobody");
          case "su" -> LaunchIdentity.su("nobody");
          default -> LaunchIdentity.detect();
        };
    try (EmbeddedPostgres server = EmbeddedPostgres.open(Path.of(arguments[0]), identity)) {
      System.out.println("ready " + server.address());
      System.in.transferTo(OutputStream.nullOutputStream());
    }
  }
}
