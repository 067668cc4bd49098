package dev.cortex.events.command;

import dev.cortex.events.event.Envelope;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.LeaseContext;
import dev.cortex.events.handler.LeasedHandler;
import dev.cortex.events.handler.Outcome;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Runs a program for each event. The program gets the path of a file with the event's envelope as
 * its only argument, the same envelope on its standard input, and a directory of its own to work
 * in. Its exit status says what becomes of the delivery: 0 done, 75 retry, 65 dead, anything else
 * retry; the last 7,900 bytes of what it wrote are the error. Where the lease is lost, the time
 * budget over or the worker stops, it gets SIGTERM and two seconds later SIGKILL, with all that it
 * has started.
 *
 * <pre>{@code
 * HandlerDefinition.leased("on-task-failed", CommandHandler.of(Path.of("/opt/cortex/on-task-failed")))
 *     .on("task.failed")
 * }</pre>
 *
 * <p>Immutable and thread-safe.
 */
public final class CommandHandler implements LeasedHandler {
  private static final int DONE = 0;
  private static final int DEAD = 65;
  private static final int RETRY = 75;

  private final Path program;
  private final Set<String> allowed;
  private final Map<String, String> environment;
  private final Optional<Path> spool;

  private CommandHandler(
      Path program, Set<String> allowed, Map<String, String> environment, Optional<Path> spool) {
    if (!program.isAbsolute()) {
      throw new IllegalArgumentException("program must be an absolute path, was " + program);
    }
    this.program = program;
    this.allowed = allowed;
    this.environment = environment;
    this.spool = spool;
  }

  /** Runs this program, which is named by an absolute path. */
  public static CommandHandler of(Path program) {
    return new CommandHandler(program, Set.of(), System.getenv(), Optional.empty());
  }

  /** Hands on these variables of this process's environment, where it has them. */
  public CommandHandler withEnvironment(Collection<String> names) {
    return new CommandHandler(program, Set.copyOf(new TreeSet<>(names)), environment, spool);
  }

  /**
   * Tells the program that its events wait in this spool while the database is away, as {@code
   * CORTEX_SPOOL_DIR}. It should be the one that the worker drains: the program has neither a home
   * nor the worker's settings to find it by.
   */
  public CommandHandler withSpool(Path directory) {
    return new CommandHandler(
        program, allowed, environment, Optional.of(directory.toAbsolutePath().normalize()));
  }

  /** The same, taking the variables from elsewhere. */
  CommandHandler from(Map<String, String> environment) {
    return new CommandHandler(program, allowed, environment, spool);
  }

  @Override
  public Outcome handle(Event event, LeaseContext context)
      throws IOException, InterruptedException {
    try (RunDirectory directory = RunDirectory.of(Envelope.write(event, context.extensions()));
        ProgramRun run = ProgramRun.start(program, directory, environment(event, context))) {
      int status = run.await();
      return outcome(status, directory.output());
    }
  }

  private static Outcome outcome(int status, String output) {
    return switch (status) {
      case DONE -> Outcome.done();
      case DEAD -> Outcome.dead(said(status, output));
      case RETRY -> Outcome.retry(output.isBlank() ? said(status, output) : output);
      default -> Outcome.retry(said(status, output));
    };
  }

  private static String said(int status, String output) {
    return ("exit status " + status + "\n" + output).strip();
  }

  /** What is allowed, and what the engine says, which nobody overrides. */
  private Map<String, String> environment(Event event, LeaseContext context) {
    Map<String, String> clean = CleanEnvironment.of(allowed, environment);
    spool.ifPresent(directory -> clean.put("CORTEX_SPOOL_DIR", directory.toString()));
    clean.put("CORTEX_EVENT_ID", event.id());
    clean.put("CORTEX_HANDLER", context.handler());
    clean.put("CORTEX_FENCE", Long.toString(context.fence()));
    clean.put("CORTEX_ATTEMPT", Integer.toString(context.attempt()));
    clean.put("CORTEX_GENERATION", Integer.toString(context.generation()));
    clean.put("CORTEX_IDEMPOTENCY_KEY", context.idempotencyKey());
    return clean;
  }
}
