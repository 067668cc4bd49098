package dev.cortex.events.cli;

import dev.cortex.events.operate.Operations;
import dev.cortex.events.operate.QueueStatus;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.ToLongFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "status",
    description = {
      "Show the queue per handler and priority.",
      "Rows with nothing in them are left out of the table; `cortex handlers` lists every handler."
    })
final class StatusCommand implements Callable<Integer> {
  private static final Report<QueueStatus> TABLE =
      Report.<QueueStatus>of("handler", QueueStatus::handler)
          .with("priority", queue -> queue.priority().label())
          .with("available", queue -> count(queue, QueueStatus::available))
          .with("scheduled", queue -> count(queue, QueueStatus::scheduled))
          .with("running", queue -> count(queue, QueueStatus::running))
          .with("retrying", queue -> count(queue, QueueStatus::retrying))
          .with("held", queue -> count(queue, QueueStatus::held))
          .with("dead", queue -> count(queue, QueueStatus::dead))
          .with("oldest_due", QueueStatus::oldestDue)
          .with("paused", QueueStatus::paused);

  private static final Report<QueueStatus> JSON =
      Report.<QueueStatus>of("handler", QueueStatus::handler)
          .with("priority", queue -> queue.priority().label())
          .with("paused", QueueStatus::paused)
          .with("available", QueueStatus::available)
          .with("scheduled", QueueStatus::scheduled)
          .with("running", QueueStatus::running)
          .with("retrying", QueueStatus::retrying)
          .with("held", QueueStatus::held)
          .with("dead", QueueStatus::dead)
          .with("oldest_due", QueueStatus::oldestDue);

  @ParentCommand private Cortex cortex;

  @Option(
      names = "--json",
      description =
          "Every handler and priority as a JSON array; a count of 10001: more than 10,000.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      Operations operations = installation.operations(Role.AUDITOR);
      List<QueueStatus> queues = operations.queueStatus();
      if (json) {
        cortex.answer(JSON, queues, true);
      } else {
        show(queues);
        for (String worker : operations.pollingWorkers()) {
          cortex
              .console()
              .print("worker " + worker + " polls: notifications do not reach it (a pooler?)");
        }
      }
    }
    return 0;
  }

  private void show(List<QueueStatus> queues) {
    List<QueueStatus> filled = queues.stream().filter(StatusCommand::hasAny).toList();
    if (filled.isEmpty()) {
      long handlers = queues.stream().map(QueueStatus::handler).distinct().count();
      cortex.console().print("nothing waits, runs or is dead; handlers known: " + handlers);
    } else {
      cortex.answer(TABLE, filled, false);
    }
  }

  private static boolean hasAny(QueueStatus queue) {
    return queue.available()
            + queue.scheduled()
            + queue.running()
            + queue.retrying()
            + queue.held()
            + queue.dead()
        > 0;
  }

  private static Object count(QueueStatus queue, ToLongFunction<QueueStatus> counter) {
    long count = counter.applyAsLong(queue);
    return count >= QueueStatus.MORE ? "> 10,000" : Long.valueOf(count);
  }
}
