package dev.cortex.events.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A peer: another queue on PostgreSQL, whose driver lies in bench/. */
final class PeerContender implements Contender {
  private final String name;
  private final Ground ground;
  private final ToldProcess driver;

  private PeerContender(String name, Ground ground, ToldProcess driver) {
    this.name = name;
    this.ground = ground;
    this.driver = driver;
  }

  /** All peers for a kind of work; none where none are wanted. */
  static List<Contender> all(Ground ground, String work) throws IOException, InterruptedException {
    List<Contender> peers = new ArrayList<>();
    for (String name : names(ground.options())) {
      ToldProcess driver =
          ToldProcess.start(ground.options().peers(), ground.options().environment(), name, work);
      peers.add(new PeerContender(name, ground, driver));
    }
    return peers;
  }

  /** What the peers' command answers when it is given no name. */
  static List<String> names(BenchOptions options) throws IOException, InterruptedException {
    if (options.peers().isEmpty()) {
      return List.of();
    }
    Process process =
        new ProcessBuilder(options.peers()).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    try (BufferedReader reader = process.inputReader(StandardCharsets.UTF_8)) {
      List<String> names = reader.lines().toList();
      if (process.waitFor() != 0) {
        throw new IllegalStateException("the peers cannot be made ready; see above");
      }
      return names;
    }
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public void prepare(int events) throws IOException, SQLException {
    ground.empty();
    driver.ask("fill " + events);
  }

  @Override
  public void run(int events) throws IOException {
    ObjectNode answer = driver.ask("drain");
    long handled = answer.path("handled").asLong();
    if (handled != events) {
      throw new IllegalStateException(name + " handled " + handled + " jobs of " + events);
    }
  }

  @Override
  public Optional<Duration> processorTime() {
    return driver.processorTime();
  }

  @Override
  public void close() {
    driver.close();
  }
}
