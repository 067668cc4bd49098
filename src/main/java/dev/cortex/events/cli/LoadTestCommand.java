package dev.cortex.events.cli;

import dev.cortex.events.demo.LoadResult;
import dev.cortex.events.demo.LoadResult.Tally;
import dev.cortex.events.demo.LoadTest;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "load-test",
    description = {
      "Let simulated workers emit what a fleet emits, and see what the running workers make of it.",
      "First asks whether the event system is active (system.observability_check), so a worker must run. The"
          + " events are real ones for it, their sources begin with load-test-: handlers count them, and may"
          + " raise alerts. Exit status 0: all of them were handled once and the event system is active; 1:"
          + " not so, and why."
    })
final class LoadTestCommand implements Callable<Integer> {
  private static final int NOT_AS_PROMISED = 1;
  private static final int CONNECTIONS = 9;

  private static final Report<Tally> TALLIES =
      Report.of("handler", Tally::handler)
          .with("delivered", Tally::delivered)
          .with("handled", Tally::handled)
          .with("cancelled", Tally::cancelled)
          .with("retried", Tally::retried)
          .with("dead", Tally::dead)
          .with("lost", Tally::lost)
          .with("duplicated", Tally::duplicated)
          .with("open", Tally::open)
          .with("p50_ms", tally -> Math.round(tally.p50Ms()))
          .with("p95_ms", tally -> Math.round(tally.p95Ms()))
          .with("p99_ms", tally -> Math.round(tally.p99Ms()))
          .with("max_ms", tally -> Math.round(tally.maxMs()));

  @ParentCommand private Cortex cortex;

  @Option(
      names = "--workers",
      paramLabel = "N",
      defaultValue = "10",
      description = "How many are simulated, 1 to 1000; ${DEFAULT-VALUE} unless given.")
  private int workers;

  @Option(
      names = "--seconds",
      paramLabel = "S",
      defaultValue = "30",
      description = "For how long, 1 to 3600; ${DEFAULT-VALUE} unless given.")
  private int seconds;

  @Option(
      names = "--wait",
      paramLabel = "S",
      defaultValue = "60",
      description =
          "How long to wait for the workers, before and after; ${DEFAULT-VALUE} unless given.")
  private int patienceSeconds;

  @Override
  public Integer call() throws SQLException, InterruptedException {
    cortex.requireWithin("--wait", patienceSeconds, 1, 3600);
    try (Installation installation = cortex.open()) {
      LoadTest.Plan plan = plan(installation);
      Screen screen = new Screen(cortex.console());
      LoadResult result = LoadTest.run(plan, screen);
      screen.end(result);
      return result.broken().isEmpty() ? 0 : NOT_AS_PROMISED;
    }
  }

  private LoadTest.Plan plan(Installation installation) {
    try {
      return new LoadTest.Plan(
          installation.as(Role.EMITTER).connections(CONNECTIONS),
          installation.connection(Role.AUDITOR),
          workers,
          Duration.ofSeconds(seconds),
          Duration.ofSeconds(patienceSeconds));
    } catch (IllegalArgumentException e) {
      throw cortex.wrong("--" + e.getMessage());
    }
  }

  /** What happens as lines, how it stands as one live line below them. */
  private static final class Screen implements LoadTest.Audience {
    private final Console console;
    private final LiveLine live;

    Screen(Console console) {
      this.console = console;
      this.live = new LiveLine(console);
    }

    @Override
    public void step(String text) {
      live.step(text);
    }

    @Override
    public void progress(LoadTest.Progress progress) {
      double elapsed = Math.max(progress.elapsed().toMillis() / 1000.0, 0.001);
      live.show(
          progress.elapsed(),
          String.format(
              Locale.ROOT,
              "  %5.1f s  emitted %d (%.0f/s)  waiting %d",
              elapsed,
              progress.emitted(),
              progress.emitted() / elapsed,
              progress.waiting()));
    }

    void end(LoadResult result) {
      live.erase();
      List<String> broken = result.broken();
      if (result.before().isActive()) {
        console.print("");
        console.print(TALLIES.table(result.handlers()));
        console.print("");
        row("emitted", "%d events, %.1f a second", result.emitted(), result.emittedPerSecond());
        row(
            "handled",
            "%d deliveries, %.1f a second",
            result.handlers().stream().mapToLong(Tally::handled).sum(),
            result.handledPerSecond());
        row("in the log", "%d of %d", result.logged(), result.emitted());
      }
      row(
          "event system",
          "%s (%s)",
          result.after().isActive() ? "active" : "NOT active",
          result.after().evidence());
      console.print("");
      console.print(
          broken.isEmpty() ? "As promised." : "NOT as promised: " + String.join("; ", broken));
      if (!result.before().isActive()) {
        console.remark("nobody answered; is a worker running (`cortex worker`)?");
      }
    }

    private void row(String name, String format, Object... values) {
      console.print("%-14s %s".formatted(name, String.format(Locale.ROOT, format, values)));
    }
  }
}
