package dev.cortex.events.cli;

import dev.cortex.events.archive.Archive;
import dev.cortex.events.archive.ArchiveReport;
import dev.cortex.events.archive.ArchivedFile;
import dev.cortex.events.archive.FileCheck;
import dev.cortex.events.event.ErrorCode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "archive",
    description = {
      "Take what is older than it is kept out of the database, into files; look at those files.",
      "How long what is kept, and where the files go: cortex.settings and cortex.event_types"
          + " (docs/archive.md). `cortex import` brings archived events back."
    })
final class ArchiveCommand implements Runnable {
  private static final Report<ArchivedFile> FILES =
      Report.<ArchivedFile>of("file", ArchivedFile::name)
          .with("of", ArchivedFile::of)
          .with("rows", ArchivedFile::rows)
          .with("bytes", ArchivedFile::bytes)
          .with("written_at", ArchivedFile::writtenAt)
          .with("sha256", ArchivedFile::sha256);

  private static final Report<FileCheck> CHECKS =
      Report.of("file", FileCheck::name).with("defect", FileCheck::defect);

  @ParentCommand private Cortex cortex;

  @Override
  public void run() {
    throw cortex.wrong("a command is needed: run, list or verify");
  }

  private Archive archive(Installation installation, Role role, Optional<Path> directory) {
    Archive archive = Archive.on(installation.connection(role));
    return directory.map(archive::in).orElse(archive);
  }

  @Command(
      name = "run",
      description =
          "Archive and remove what is too old; exit with 75 when something of it had to stay. As a member of"
              + " the owner role. Killed, it is simply run again.")
  int archive(
      @Option(
              names = "--directory",
              paramLabel = "DIR",
              description = "Where the files go; what cortex.settings says unless given.")
          Optional<Path> directory,
      @Option(names = "--dry-run", description = "Say what would happen, and change nothing.")
          boolean dryRun,
      @Option(names = "--json", description = "As a JSON object.") boolean json)
      throws SQLException {
    try (Installation installation = cortex.open();
        StopSignals stop = StopSignals.listen()) {
      Archive archive = archive(installation, dryRun ? Role.AUDITOR : Role.OWNER, directory);
      ArchiveReport report = dryRun ? archive.dryRun() : archive.run(stop::isAsked);
      cortex.console().print(json ? json(report, dryRun) : text(report, dryRun));
      return status(report);
    }
  }

  private int status(ArchiveReport report) {
    if (report.complete()) {
      return 0;
    }
    cortex.console().remark("incomplete, run it again: " + String.join("; ", report.left()));
    return ErrorCode.TEMPORARY.exitStatus();
  }

  @Command(name = "list", description = "List the files of the archive.")
  int list(
      @Option(
              names = "--directory",
              paramLabel = "DIR",
              description = "Where the files are; what cortex.settings says unless given.")
          Optional<Path> directory,
      @Option(names = "--json", description = "As a JSON array.") boolean json)
      throws SQLException {
    try (Installation installation = cortex.open()) {
      Archive archive = archive(installation, Role.AUDITOR, directory);
      List<ArchivedFile> files = archive.list();
      cortex.answer(FILES, files, json);
      remarkIfEmpty(files, archive);
    }
    return 0;
  }

  @Command(
      name = "verify",
      description =
          "Read every file and hold it against its checksum; exit with 65 when one is damaged.")
  int verify(
      @Option(
              names = "--directory",
              paramLabel = "DIR",
              description = "Where the files are; what cortex.settings says unless given.")
          Optional<Path> directory,
      @Option(names = "--json", description = "As a JSON array.") boolean json)
      throws SQLException {
    try (Installation installation = cortex.open()) {
      Archive archive = archive(installation, Role.AUDITOR, directory);
      List<FileCheck> checks = archive.verify();
      cortex.answer(CHECKS, checks, json);
      remarkIfEmpty(checks, archive);
      boolean isWhole = checks.stream().allMatch(check -> check.defect().isEmpty());
      return isWhole ? 0 : ErrorCode.INVALID_DATA.exitStatus();
    }
  }

  private void remarkIfEmpty(List<?> rows, Archive archive) {
    if (rows.isEmpty()) {
      Path path = archive.directory();
      cortex
          .console()
          .remark(
              "the archive is empty: "
                  + path
                  + (Files.isDirectory(path) ? " has no files" : " is not there"));
    }
  }

  private static String json(ArchiveReport report, boolean dryRun) {
    Map<String, Object> members = new LinkedHashMap<>();
    members.put("dry_run", dryRun);
    members.put("removed", report.removed());
    members.put("expired_deliveries", report.expiredDeliveries());
    members.put("files", report.files().stream().map(ArchivedFile::name).toList());
    members.put("postponed", report.postponed());
    members.put("unreadable", report.unreadable());
    members.put("complete", report.complete());
    return Report.json(members);
  }

  private static String text(ArchiveReport report, boolean dryRun) {
    StringBuilder text = new StringBuilder(dryRun ? "dry run, nothing was changed\n" : "");
    report.removed().forEach((kind, rows) -> text.append("%-20s %d%n".formatted(kind, rows)));
    text.append("%-20s %d".formatted("expired deliveries", report.expiredDeliveries()));
    report.files().forEach(file -> text.append("\nfile ").append(file.name()));
    report.postponed().forEach(reason -> text.append("\npostponed ").append(reason));
    return text.toString();
  }
}
