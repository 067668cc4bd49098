package dev.cortex.events.database;

import dev.cortex.events.CortexEvents;
import java.sql.Connection;
import java.sql.SQLException;

/** Prints as whom a process is logged in that connects with the URL it is given. */
final class PrintLogin {
  private PrintLogin() {}

  public static void main(String[] arguments) throws SQLException {
    try (CortexEvents cortex = CortexEvents.connect(arguments[0]);
        Connection connection = cortex.connections(1).getConnection()) {
      System.out.println("logged in as " + connection.getMetaData().getUserName());
    }
  }
}
