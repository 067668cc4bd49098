package dev.cortex.events.cli;

import dev.cortex.events.operate.HandlerStatus;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "handlers",
    description = "List the handlers that the database knows; a worker makes its own known.")
final class HandlersCommand implements Callable<Integer> {
  private static final Report<HandlerStatus> REPORT =
      Report.<HandlerStatus>of("handler", HandlerStatus::name)
          .with("mode", HandlerStatus::mode)
          .with("implementation", HandlerStatus::implementation)
          .with("lanes", HandlerStatus::lanes)
          .with("max_attempts", HandlerStatus::maxAttempts)
          .with("time_budget_seconds", handler -> handler.timeBudget().toSeconds())
          .with("max_running", HandlerStatus::maxRunning)
          .with("limited_by_operator", HandlerStatus::isLimitedByOperator)
          .with("paused_at", HandlerStatus::pausedAt)
          .with("retiring", HandlerStatus::retiring)
          .with("retired_at", HandlerStatus::retiredAt)
          .with("former_names", HandlerStatus::formerNames)
          .with("patterns", HandlerStatus::patterns);

  @ParentCommand private Cortex cortex;

  @Option(names = "--json", description = "As a JSON array.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      List<HandlerStatus> handlers = installation.operations(Role.AUDITOR).handlers();
      if (handlers.isEmpty() && !json) {
        cortex.console().print("no handlers yet: start a worker (`cortex worker`)");
      } else {
        cortex.answer(REPORT, handlers, json);
      }
    }
    return 0;
  }
}
