package dev.cortex.events.cli;

import dev.cortex.events.demo.DemoAudience;
import dev.cortex.events.demo.DemoProgress;
import dev.cortex.events.demo.DemoResult;
import dev.cortex.events.demo.DemoResult.HandlerTally;
import java.nio.file.Path;
import java.util.List;
import java.util.function.ToLongFunction;

/** How the demo looks: what happens as lines, how it stands as one live line below them. */
final class DemoScreen implements DemoAudience {
  private static final Report<HandlerTally> TALLIES =
      Report.of("handler", HandlerTally::handler)
          .with("delivered", HandlerTally::delivered)
          .with("handled", HandlerTally::handled)
          .with("retried", HandlerTally::retried)
          .with("cancelled", HandlerTally::cancelled)
          .with("dead", HandlerTally::dead)
          .with("lost", HandlerTally::lost)
          .with("duplicated", HandlerTally::duplicated)
          .with("median_ms", HandlerTally::medianMs);

  private final Console console;
  private final LiveLine live;

  DemoScreen(Console console) {
    this.console = console;
    this.live = new LiveLine(console);
  }

  @Override
  public void step(String text) {
    live.step(text);
  }

  @Override
  public void progress(DemoProgress progress) {
    live.show(progress.elapsed(), line(progress));
  }

  private static String line(DemoProgress progress) {
    return "  %4.1f s  emitted %d  handled %d  waiting %d  retrying %d  dead %d  workers %d  silent %d"
        .formatted(
            progress.elapsed().toMillis() / 1000.0,
            progress.emitted(),
            progress.handled(),
            progress.waiting(),
            progress.retrying(),
            progress.dead(),
            progress.workers(),
            progress.silent());
  }

  /** The summary, and where to look next. */
  void end(DemoResult result, Path directory) {
    live.erase();
    console.print("");
    console.print(TALLIES.table(result.handlers()));
    console.print("");
    row("emitted", events(result));
    row(
        "killed -9",
        result.killed().worker()
            + ", with "
            + result.killed().deliveries()
            + " deliveries in its hands");
    row(
        "effects",
        "%d made by demo-effects; %d missing, %d doubled"
            .formatted(
                result.effects().made(), result.effects().missing(), result.effects().doubled()));
    row(
        "silent workers",
        result.alerts().silences() + ", alerts: " + String.join(", ", result.alerts().ids()));
    row("learning", result.chores().learningCycles() + " cycle of 2 asked for on one day");
    row("clean-ups", Long.toString(result.chores().cleanups()));
    row("retried", Long.toString(result.retried()));
    row("dead", sum(result, HandlerTally::dead) + " (on purpose: their handler always fails)");
    row("lost", Long.toString(result.lost()));
    row("duplicated", Long.toString(result.duplicated()));
    row("stuck", Long.toString(result.stuck()));
    console.print("");
    console.print(verdict(result));
    next(result, directory);
  }

  private static String events(DemoResult result) {
    return "%d by the fleet, %d by handlers and schedules; %d more were rolled back"
        .formatted(
            result.events().emitted(), result.events().caused(), result.events().rolledBack());
  }

  private static long sum(DemoResult result, ToLongFunction<HandlerTally> part) {
    return result.handlers().stream().mapToLong(part).sum();
  }

  private void row(String name, String value) {
    console.print("%-14s %s".formatted(name, value));
  }

  private static String verdict(DemoResult result) {
    if (result.isAsPromised()) {
      return "As promised, in %.1f s.".formatted(result.duration().toMillis() / 1000.0);
    }
    return "NOT as promised (%s); the workers' logs are in %s"
        .formatted(String.join("; ", result.broken()), result.logs());
  }

  private void next(DemoResult result, Path directory) {
    String at = "./cortex --data-dir " + Shell.word(directory.toString());
    String alert = result.alerts().ids().stream().findFirst().orElse("EVENT-ID");
    console.print("");
    console.print("Where to look next:");
    for (String command :
        List.of(
            at + " status",
            at + " trace " + alert,
            at + " dead-letters demo-effects",
            at + " events --type 'learning.*'",
            "eval \"$(" + at + " database)\"; psql -c 'select * from fleet.workers'")) {
      console.print("  " + command);
    }
  }
}
