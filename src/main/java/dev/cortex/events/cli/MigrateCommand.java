package dev.cortex.events.cli;

import dev.cortex.events.database.Migration;
import dev.cortex.events.database.MigrationOptions;
import dev.cortex.events.database.Migrations;
import dev.cortex.events.database.RoleNames;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "migrate",
    description = {
      "Bring the schemas of a database to their newest version.",
      "The login needs CREATE on the database, and CREATEROLE unless the roles are there. Safe to run"
          + " while workers work, and any number of times."
    })
final class MigrateCommand implements Callable<Integer> {
  private static final Report<Migration> REPORT =
      Report.<Migration>of("schema", Migration::schema)
          .with("version", Migration::version)
          .with("description", Migration::description);

  @ParentCommand private Cortex cortex;

  @Option(names = "--owner-role", paramLabel = "NAME", description = "Name of the owner's role.")
  private Optional<String> owner;

  @Option(
      names = "--emitter-role",
      paramLabel = "NAME",
      description = "Name of the emitters' role.")
  private Optional<String> emitter;

  @Option(names = "--worker-role", paramLabel = "NAME", description = "Name of the workers' role.")
  private Optional<String> worker;

  @Option(
      names = "--auditor-role",
      paramLabel = "NAME",
      description = "Name of the auditors' role.")
  private Optional<String> auditor;

  @Option(
      names = "--operator-role",
      paramLabel = "NAME",
      description = "Name of the operators' role.")
  private Optional<String> operator;

  @Option(
      names = "--create-roles",
      negatable = true,
      defaultValue = "true",
      fallbackValue = "true",
      description = "Make roles that are missing (the default), or not: --no-create-roles.")
  private boolean createRoles;

  @Option(
      names = "--fleet",
      negatable = true,
      defaultValue = "true",
      fallbackValue = "true",
      description =
          "With the schema of Cortex's own handlers (the default), or without: --no-fleet.")
  private boolean fleet;

  @Option(names = "--dry-run", description = "Say what would be applied, and apply nothing.")
  private boolean dryRun;

  @Option(names = "--json", description = "What was applied as a JSON array.")
  private boolean json;

  @Override
  public Integer call() {
    MigrationOptions options = options();
    try (Installation installation = cortex.reach()) {
      Migrations migrations = Migrations.of(installation.address(), options);
      report(dryRun ? migrations.pending() : migrations.migrate());
    }
    return 0;
  }

  private MigrationOptions options() {
    RoleNames prefixed = cortex.roles();
    MigrationOptions options = MigrationOptions.defaults();
    try {
      options =
          options.withRoles(
              new RoleNames(
                  owner.orElse(prefixed.owner()),
                  emitter.orElse(prefixed.emitter()),
                  worker.orElse(prefixed.worker()),
                  auditor.orElse(prefixed.auditor()),
                  operator.orElse(prefixed.operator())));
    } catch (IllegalArgumentException e) {
      throw cortex.wrong(e.getMessage());
    }
    options = createRoles ? options : options.withoutCreatingRoles();
    return fleet ? options : options.withoutFleet();
  }

  private void report(List<Migration> steps) {
    if (json || !steps.isEmpty()) {
      cortex.answer(REPORT, steps, json);
    } else {
      cortex.console().print("nothing to apply: the schemas are up to date");
    }
  }
}
