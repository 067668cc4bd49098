package dev.cortex.events.cli;

import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.LeaseCause;
import dev.cortex.events.outbox.EmitFailedException;
import dev.cortex.events.spool.Postbox;
import dev.cortex.events.spool.Posted;
import dev.cortex.events.spool.Spool;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * How the command line emits: durable by itself, in the database or, while that is away, in the
 * spool. Called by a program that runs for a leased delivery, it names that delivery as the cause,
 * as the program's environment does.
 */
final class Emission implements AutoCloseable {
  private final Console console;
  private final Optional<Installation> installation;
  private final Postbox postbox;
  private Optional<Path> told = Optional.empty();

  private Emission(Console console, Optional<Installation> installation, Postbox postbox) {
    this.console = console;
    this.installation = installation;
    this.postbox = postbox;
  }

  /** Opens the database; where it is away and a spool is given, that. */
  static Emission open(Cortex cortex, Optional<Spool> spool) throws SQLException {
    Console console = cortex.console();
    Optional<LeaseCause> cause = cause(console.environment());
    try {
      Installation installation = cortex.open();
      Postbox postbox =
          spool
              .map(one -> Postbox.of(installation.connection(Role.EMITTER), one))
              .orElseGet(() -> Postbox.withoutSpool(installation.connection(Role.EMITTER)));
      return new Emission(
          console, Optional.of(installation), cause.map(postbox::under).orElse(postbox));
    } catch (SQLException | RuntimeException e) {
      if (spool.isEmpty() || ErrorReport.code(e) != ErrorCode.UNAVAILABLE) {
        throw e;
      }
      console.remark(ErrorReport.message(e));
      Postbox postbox = Postbox.away(spool.get());
      return new Emission(console, Optional.empty(), cause.map(postbox::under).orElse(postbox));
    }
  }

  private static Optional<LeaseCause> cause(Map<String, String> environment) {
    return Optional.ofNullable(environment.get("CORTEX_EVENT_ID"))
        .map(
            eventId ->
                new LeaseCause(
                    eventId,
                    environment.getOrDefault("CORTEX_HANDLER", ""),
                    fence(environment.getOrDefault("CORTEX_FENCE", ""))));
  }

  /** What is no number is no lease's, which the database says in the same words. */
  private static long fence(String text) {
    try {
      return Long.parseLong(text);
    } catch (NumberFormatException e) {
      return 0;
    }
  }

  /**
   * Emits all or none, and returns their ids once they are durable.
   *
   * @throws EmitFailedException when the database is there and could not record them
   */
  List<String> emitAll(List<EventDraft> drafts) {
    List<Posted> posted = postbox.postAll(drafts);
    posted.stream().flatMap(one -> one.spooledIn().stream()).findFirst().ifPresent(this::tell);
    return posted.stream().map(Posted::eventId).toList();
  }

  private void tell(Path file) {
    if (!told.equals(Optional.of(file))) {
      console.remark("the database is away; spooled, to be delivered later: " + file);
      told = Optional.of(file);
    }
  }

  @Override
  public void close() {
    installation.ifPresent(Installation::close);
  }
}
