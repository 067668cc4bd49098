package dev.cortex.events.crash;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.spool.Postbox;
import dev.cortex.events.spool.Spool;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;

/**
 * A process that posts to a spool without end, saying each id once it is durable, or that drains
 * one until it is empty.
 */
final class SpoolProcess {
  private SpoolProcess() {}

  /** Arguments: post, directory, first number; or drain, directory, URL. */
  public static void main(String[] arguments) throws Exception {
    Spool spool = Spool.at(Path.of(arguments[1]));
    if (arguments[0].equals("post")) {
      Postbox postbox = Postbox.away(spool);
      for (int n = Integer.parseInt(arguments[2]); ; n++) {
        EventDraft draft = EventDraft.of("spool.posted", "java").withPayload("{\"n\": " + n + "}");
        System.out.println(postbox.post(draft).eventId());
        System.out.flush();
      }
    }
    try (Connection connection = DriverManager.getConnection(arguments[2])) {
      System.out.println("draining");
      System.out.flush();
      while (!spool.isEmpty()) {
        spool.drain(connection);
      }
    }
  }
}
