package dev.cortex.events.cli;

import dev.cortex.events.outbox.ImportSummary;
import dev.cortex.events.outbox.OldSystem;
import dev.cortex.events.outbox.OldSystem.Part;
import dev.cortex.events.outbox.OlderLines;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "migrate-from",
    description = {
      "Take over the events of the shell scripts' system: DIR holds coordination/events, or is that.",
      "archive and *.jsonl are recorded for the log only; what is in the queue goes to its handlers, which"
          + " a worker must have made known before; else it is refused. What cannot be read is kept in quarantine. Running it"
          + " again changes nothing. Stop the old dispatcher first."
    })
final class MigrateFromCommand implements Callable<Integer> {
  private record Row(String part, ImportSummary summary) {}

  private static final Report<Row> ROWS =
      Report.<Row>of("part", Row::part)
          .with("read", row -> row.summary().read())
          .with("accepted", row -> row.summary().accepted())
          .with("duplicate", row -> row.summary().duplicate())
          .with("quarantined", row -> row.summary().quarantinedInAll());

  /** Of the files that were not read. */
  private static final int NAMED = 20;

  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "DIR", description = "The old system's directory.")
  private Path directory;

  @Option(
      names = "--type",
      paramLabel = "T",
      description = "Take lines that are no envelopes as events of this type; with --source.")
  private Optional<String> type;

  @Option(names = "--source", paramLabel = "S", description = "Likewise the source.")
  private Optional<String> source;

  @Option(names = "--dry-run", description = "Say what would happen, and write nothing.")
  private boolean dryRun;

  @Option(names = "--json", description = "As a JSON array, one part to a line.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    if (type.isPresent() != source.isPresent()) {
      throw cortex.wrong("--type and --source must be given together");
    }
    OldSystem old = OldSystem.in(directory);
    try (Installation installation = cortex.open()) {
      Map<Part, ImportSummary> parts;
      try (ImportBar bar = new ImportBar(cortex.console())) {
        parts =
            old.importInto(
                installation.connection(Role.OPERATOR),
                type.map(known -> new OlderLines(known, source.orElseThrow())),
                dryRun,
                bar);
      }
      List<Row> rows =
          parts.entrySet().stream()
              .map(part -> new Row(part.getKey().name().toLowerCase(Locale.ROOT), part.getValue()))
              .toList();
      cortex.answer(ROWS, rows, json);
      remark(rows);
      remarkUnread(old.unread());
    }
    return 0;
  }

  private void remarkUnread(List<Path> unread) {
    if (!unread.isEmpty()) {
      List<String> lines = new ArrayList<>();
      lines.add(unread.size() + " not read, links or no JSON by their names:");
      unread.stream().limit(NAMED).map(Path::toString).forEach(lines::add);
      if (unread.size() > NAMED) {
        lines.add("and " + (unread.size() - NAMED) + " more");
      }
      cortex.console().remark(lines);
    }
  }

  private void remark(List<Row> rows) {
    if (dryRun && !json) {
      cortex.console().print("(dry run, nothing was written)");
    } else if (!json && rows.stream().anyMatch(row -> row.summary().quarantinedInAll() > 0)) {
      cortex.console().print(ImportCommand.QUARANTINE_HINT.strip());
    }
  }
}
