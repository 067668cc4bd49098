package dev.cortex.events.spool;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.EventId;
import dev.cortex.events.event.LeaseCause;
import dev.cortex.events.outbox.EmitFailedException;
import dev.cortex.events.outbox.Outbox;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import javax.sql.DataSource;

/**
 * Posts events: durable by itself when the call returns, in the database or, while that is away, in
 * the spool. It takes no connection and joins no transaction: what is posted stays posted, whatever
 * becomes of the caller's own writes. What has to hold or fail together with those is emitted
 * instead, through {@link Outbox}, which never spools.
 *
 * <p>Every event gets an id here unless it has one, so that an event is there once even where it is
 * not known whether the database had it before it went away. Spooled events are delivered by a
 * worker that is told to, or by {@code cortex spool drain}, in the order in which this process
 * spooled them; one that is posted when the database is back may be recorded before them.
 *
 * <p>After the database was found away, it is left alone for five seconds, so that not every call
 * waits for it. Thread-safe.
 */
public final class Postbox {
  private static final Duration LEFT_ALONE = Duration.ofSeconds(5);

  /** Whoever lost against a rival transaction wins the next time, or the one after. */
  private static final int MAX_TRIES = 5;

  private final Optional<DataSource> database;
  private final Optional<Spool> spool;
  private final Optional<LeaseCause> cause;
  private final Outbox outbox = new Outbox();

  /** Until when, by the monotonic clock, the database is left alone; 0: it is not. */
  private final AtomicLong leftAloneUntil = new AtomicLong();

  private Postbox(
      Optional<DataSource> database, Optional<Spool> spool, Optional<LeaseCause> cause) {
    this.database = database;
    this.spool = spool;
    this.cause = cause;
  }

  /** Posts to a database, whose connections should not be long in coming, and else to a spool. */
  public static Postbox of(DataSource database, Spool spool) {
    return new Postbox(Optional.of(database), Optional.of(spool), Optional.empty());
  }

  /** Posts to a database, and fails while it is away. */
  public static Postbox withoutSpool(DataSource database) {
    return new Postbox(Optional.of(database), Optional.empty(), Optional.empty());
  }

  /** Posts to a spool only, where the database is known to be away. */
  public static Postbox away(Spool spool) {
    return new Postbox(Optional.empty(), Optional.of(spool), Optional.empty());
  }

  /**
   * The same, for a program that runs for a leased delivery. What it posts has the delivery's event
   * as its cause, and is refused once the lease is lost; the spool cannot know that and takes it.
   */
  public Postbox under(LeaseCause cause) {
    return new Postbox(database, spool, Optional.of(cause));
  }

  /**
   * Posts one event.
   *
   * @throws dev.cortex.events.event.InvalidEventException when it breaks a rule; what only the
   *     database can tell is told while that is there, and else leads to the quarantine
   * @throws EmitFailedException when the database is there and could not record it; what a rival
   *     transaction was in the way of is tried five times
   * @throws SpoolFailedException when the database is away and the spool could not keep it
   */
  public Posted post(EventDraft draft) {
    return postAll(List.of(draft)).get(0);
  }

  /**
   * Posts events, all or none.
   *
   * @return in their order
   * @throws dev.cortex.events.event.InvalidEventException when one breaks a rule
   * @throws EmitFailedException when the database is there and could not record them
   * @throws SpoolFailedException when the database is away and the spool could not keep them
   */
  public List<Posted> postAll(List<EventDraft> drafts) {
    List<EventDraft> named = drafts.stream().map(Postbox::named).toList();
    if (isLeftAlone()) {
      return spool(named, spool.orElseThrow(), Optional.empty());
    }
    for (int tries = 1; ; tries++) {
      try {
        return emit(named);
      } catch (SQLException | EmitFailedException e) {
        Optional<DatabaseFault> fault = DatabaseFault.of(e);
        if (spool.isPresent() && fault.filter(DatabaseFault::isAbsence).isPresent()) {
          return spoolFor(named, spool.get(), e);
        } else if (tries == MAX_TRIES || !fault.equals(Optional.of(DatabaseFault.CONTENTION))) {
          throw e instanceof EmitFailedException told
              ? told
              : EmitFailedException.because((SQLException) e);
        }
      }
    }
  }

  private static EventDraft named(EventDraft draft) {
    return draft.eventId().isPresent() ? draft : draft.withEventId(EventId.random(Instant.now()));
  }

  private boolean isLeftAlone() {
    long until = leftAloneUntil.get();
    return database.isEmpty() || (until != 0 && System.nanoTime() - until < 0);
  }

  private List<Posted> emit(List<EventDraft> drafts) throws SQLException {
    try (Connection connection = database.orElseThrow().getConnection()) {
      boolean before = connection.getAutoCommit();
      connection.setAutoCommit(false);
      boolean isCommitted = false;
      try {
        List<String> ids = emit(connection, drafts);
        connection.commit();
        isCommitted = true;
        leftAloneUntil.set(0);
        return ids.stream().map(id -> new Posted(id, Optional.empty())).toList();
      } finally {
        end(connection, isCommitted, before);
      }
    }
  }

  private List<String> emit(Connection connection, List<EventDraft> drafts) {
    if (cause.isEmpty()) {
      return outbox.emitAll(connection, drafts);
    }
    List<String> ids = new ArrayList<>();
    for (EventDraft draft : drafts) {
      ids.add(outbox.emit(connection, draft, cause.get()));
    }
    return ids;
  }

  /**
   * On a broken connection there is nothing to roll back, and the first error is the one to say.
   */
  private static void end(Connection connection, boolean isCommitted, boolean autoCommit) {
    try {
      if (!isCommitted) {
        connection.rollback();
      }
      connection.setAutoCommit(autoCommit);
    } catch (SQLException e) {
      // The server has rolled back, or has committed: then the events are there.
    }
  }

  private List<Posted> spoolFor(List<EventDraft> drafts, Spool spool, Exception absence) {
    leftAloneUntil.set(System.nanoTime() + LEFT_ALONE.toNanos());
    return spool(drafts, spool, Optional.of(absence));
  }

  private List<Posted> spool(List<EventDraft> drafts, Spool spool, Optional<Exception> absence) {
    List<EventDraft> dated = drafts.stream().map(this::spoolable).toList();
    try {
      Path file = dated.isEmpty() ? spool.directory() : spool.append(dated);
      return dated.stream()
          .map(draft -> new Posted(draft.eventId().orElseThrow(), Optional.of(file)))
          .toList();
    } catch (CortexException e) {
      absence.ifPresent(e::addSuppressed);
      throw e;
    }
  }

  /** With what the database would have added: the time, and what causes it. */
  private EventDraft spoolable(EventDraft draft) {
    EventDraft dated = draft.occurredAt().isPresent() ? draft : draft.withOccurredAt(Instant.now());
    return cause.map(one -> dated.withCausationId(one.eventId())).orElse(dated);
  }
}
