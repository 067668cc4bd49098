package dev.cortex.bench.peers;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/**
 * Obeys the commands of standard input, one a line, and answers with one line of JSON each: see
 * bench/README.md.
 */
public final class Driver {
  private Driver() {}

  public static void main(String[] arguments) throws Exception {
    boolean hasEffect = arguments[1].equals("insert");
    Database database = Database.open();
    try (database;
        Peer peer =
            arguments[0].equals("gruelbox")
                ? new Gruelbox(database, hasEffect)
                : new DbScheduler(database, hasEffect);
        BufferedReader commands =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String line = commands.readLine(); line != null; line = commands.readLine()) {
        obey(peer, line.split(" ", 2));
      }
    }
  }

  private static void obey(Peer peer, String[] words) throws Exception {
    switch (words[0]) {
      case "fill" -> {
        peer.fill(Integer.parseInt(words[1]));
        System.out.printf("{\"filled\": %s}%n", words[1]);
      }
      case "drain" -> {
        long start = System.nanoTime();
        long handled = peer.drain();
        double seconds = (System.nanoTime() - start) / 1e9;
        System.out.printf(
            Locale.ROOT, "{\"handled\": %d, \"seconds\": %.3f}%n", handled, seconds);
        peer.stop();
      }
      default -> throw new IOException("no such command: " + words[0]);
    }
  }
}
