package dev.cortex.events.cli;

import dev.cortex.events.event.Defect;
import dev.cortex.events.outbox.ImportOptions;
import dev.cortex.events.outbox.ImportSummary;
import dev.cortex.events.outbox.Importer;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "import",
    description = {
      "Take archives in as they are: .json and .jsonl files, also compressed as .gz, and directories of them.",
      "What is no event is kept in quarantine with the reason. Importing again changes nothing: one that was"
          + " killed is simply run again. Handlers do"
          + " not get the events unless --deliver says so."
    })
final class ImportCommand implements Callable<Integer> {
  static final String QUARANTINE_HINT =
      "\n(kept in cortex.quarantined: origin, reason and detail of each; ops/runbooks/quarantine.md)";

  @ParentCommand private Cortex cortex;

  @Parameters(
      paramLabel = "FILE|DIR",
      arity = "1..*",
      description = "What to import, in this order.")
  private List<Path> paths;

  @Option(
      names = "--type",
      paramLabel = "T",
      description = "Take lines that are no envelopes as events of this type; with --source.")
  private Optional<String> type;

  @Option(names = "--source", paramLabel = "S", description = "Likewise the source.")
  private Optional<String> source;

  @Option(names = "--dry-run", description = "Say what would happen, and write nothing.")
  private boolean dryRun;

  @Option(names = "--deliver", description = "Hand the events to their handlers.")
  private boolean deliver;

  @Option(names = "--json", description = "The summary as a JSON object.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    ImportOptions options = options();
    try (Installation installation = cortex.open()) {
      ImportSummary summary;
      try (ImportBar bar = new ImportBar(cortex.console())) {
        summary =
            new Importer(installation.connection(Role.OPERATOR), options).telling(bar).run(paths);
      }
      cortex.console().print(json ? json(summary) : text(summary));
    }
    return 0;
  }

  private ImportOptions options() {
    if (type.isPresent() != source.isPresent()) {
      throw cortex.wrong("--type and --source must be given together");
    }
    ImportOptions options = ImportOptions.defaults().withDeliver(deliver).withDryRun(dryRun);
    return type.isPresent() ? options.withOlderLines(type.get(), source.get()) : options;
  }

  private String json(ImportSummary summary) {
    Map<String, Long> quarantined = new LinkedHashMap<>();
    summary.quarantined().forEach((defect, count) -> quarantined.put(defect.label(), count));
    Map<String, Object> members = new LinkedHashMap<>();
    members.put("dry_run", dryRun);
    members.put("read", summary.read());
    members.put("accepted", summary.accepted());
    members.put("duplicate", summary.duplicate());
    members.put("quarantined", summary.quarantinedInAll());
    members.put("quarantined_by_reason", quarantined);
    return Report.json(members);
  }

  private String text(ImportSummary summary) {
    StringBuilder text = new StringBuilder();
    text.append(dryRun ? "dry run, nothing was written\n" : "");
    text.append("read         ").append(summary.read());
    text.append("\naccepted     ").append(summary.accepted());
    text.append("\nduplicate    ").append(summary.duplicate());
    text.append("\nquarantined  ").append(summary.quarantinedInAll());
    for (Map.Entry<Defect, Long> reason : summary.quarantined().entrySet()) {
      text.append("\n  ").append(reason.getKey().label()).append("  ").append(reason.getValue());
    }
    text.append(summary.quarantined().isEmpty() || dryRun ? "" : QUARANTINE_HINT);
    return text.toString();
  }
}
