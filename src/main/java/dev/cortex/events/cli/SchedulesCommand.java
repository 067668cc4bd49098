package dev.cortex.events.cli;

import dev.cortex.events.schedule.Fire;
import dev.cortex.events.schedule.Schedule;
import dev.cortex.events.schedule.Schedules;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "schedules",
    description = "List the schedules, when each fired last and when it fires next.")
final class SchedulesCommand implements Callable<Integer> {
  private static final Report<Schedule> REPORT =
      Report.<Schedule>of("schedule", Schedule::name)
          .with("cron", Schedule::cron)
          .with("zone", Schedule::zone)
          .with("type", Schedule::type)
          .with("enabled", Schedule::isEnabled)
          .with("catch_up", schedule -> schedule.catchUp().word())
          .with("last_fired_at", schedule -> schedule.lastFire().map(Fire::firedAt))
          .with("last_event", schedule -> schedule.lastFire().map(Fire::eventId))
          .with("next_tick", Schedule::nextTick)
          .with("problem", Schedule::problem);

  @ParentCommand private Cortex cortex;

  @Option(names = "--json", description = "As a JSON array.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open();
        Connection connection = installation.connection(Role.AUDITOR).getConnection()) {
      cortex.answer(REPORT, Schedules.list(connection), json);
    }
    return 0;
  }
}
