package dev.cortex.events.operate;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Predicate;
import javax.sql.DataSource;

/**
 * What operators do and see, on a database.
 *
 * <pre>{@code
 * Operations operations = Operations.on(dataSource);
 * operations.redrive("task-board", Optional.of("task.failed"), 1_000, "INC-42: bug fixed in 1.3");
 * operations.trace("deployment-task-001").forEach(System.out::println);
 * }</pre>
 *
 * <p>Verbs need the operator's role, questions the auditor's. Every verb takes a reason and is
 * recorded with it, the login, before and after. No verb waits for a delivery that a worker holds:
 * that is left alone and reported; for the lane of an ordered key they wait two seconds. Each call
 * is a transaction of its own.
 *
 * <p>Thread-safe. Every method throws {@link OperationRefusedException} for what cannot be, with
 * nothing changed, and {@link OperationFailedException} when the database cannot answer.
 */
public final class Operations {
  /** The most rows, or deliveries, that one call may ask for. */
  public static final int MAX_ROWS = 10_000;

  private final OperatorVerbs verbs;
  private final OperatorQuestions questions;
  private final HandlerVerbs handlers;
  private final Replays replays;
  private final EventReader reader;

  private Operations(OperationsDatabase database) {
    this.verbs = new OperatorVerbs(database);
    this.questions = new OperatorQuestions(database);
    this.handlers = new HandlerVerbs(database);
    this.replays = new Replays(database);
    this.reader = new EventReader(database);
  }

  /** On the database of this source, whose logins decide what is allowed. */
  public static Operations on(DataSource dataSource) {
    return new Operations(new OperationsDatabase(dataSource));
  }

  /**
   * Makes a retrying or dead delivery available now. Its count of attempts stays: a dead one is
   * dead again if this attempt fails.
   *
   * @return available; held, when its type is paused; running, when a worker is at it and nothing
   *     was changed
   */
  public DeliveryState retry(String eventId, String handler, String reason) {
    return verbs.retry(eventId, handler, reason);
  }

  /**
   * Makes dead letters of a handler available again, the oldest first.
   *
   * @param type only of this type, when given
   * @param maxDeliveries 1 to 10,000
   * @return how many; 0 when none is left
   */
  public int redrive(String handler, Optional<String> type, int maxDeliveries, String reason) {
    return verbs.redrive(handler, type, maxDeliveries, reason);
  }

  /**
   * Ends the deliveries of an event, whatever their state, leased ones too. Of those that run in a
   * transaction it asks for the end: they end cancelled with that run, unless they finish first.
   *
   * @param handler only the delivery to this handler, when given
   * @return one per open delivery
   */
  public List<Cancellation> cancel(String eventId, Optional<String> handler, String reason) {
    return verbs.cancel(eventId, handler, reason);
  }

  /**
   * Lets a blocked key of an ordered handler go on without the event that blocks it, which leaves
   * its order and stays what it is, a dead letter or due later.
   *
   * @return the public id of that event
   */
  public String releaseKey(String handler, String key, String reason) {
    return verbs.releaseKey(handler, key, reason);
  }

  /** Nothing more is claimed for the handler; what runs is finished. */
  public void pauseHandler(String handler, String reason) {
    verbs.pauseHandler(handler, reason);
  }

  /** The handler's deliveries are claimed again. */
  public void resumeHandler(String handler, String reason) {
    verbs.resumeHandler(handler, reason);
  }

  /**
   * Limits how many batches, or leased deliveries, of a handler run at once in the whole cluster,
   * whatever its code declares, until {@link #forgetLimit}. Counts for what begins after it.
   *
   * @param maxRunning 1 to 1024; empty: no limit
   */
  public void limit(String handler, OptionalInt maxRunning, String reason) {
    handlers.limit(handler, maxRunning, reason);
  }

  /** What the handler's code declares counts again. */
  public void forgetLimit(String handler, String reason) {
    handlers.forgetLimit(handler, reason);
  }

  /**
   * Chooses what runs a handler of which workers have two implementations. Its subscriptions and
   * deliveries stay; workers finish what they run, and go on with the other one within seconds.
   *
   * @param implementation {@code java} or {@code program}
   */
  public void implement(String handler, String implementation, String reason) {
    verbs.implement(handler, implementation, reason);
  }

  /** The handlers that are run by their programs, where a worker has Java code for them too. */
  public Set<String> handlersOfPrograms() {
    return questions.handlersOfPrograms();
  }

  /**
   * Holds the deliveries of a type back, those that wait and those that come. The waiting ones are
   * moved in steps of a transaction each; returns when all are, or when what is left needs time.
   */
  public TypeMove pauseType(String type, String reason) {
    return verbs.pauseType(type, reason);
  }

  /** Gives the deliveries of a type back, in steps likewise. */
  public TypeMove resumeType(String type, String reason) {
    return verbs.resumeType(type, reason);
  }

  /**
   * Has the workers give a handler the events of the log that it has not got, such as those that
   * were emitted before it subscribed. Returns at once; {@link #backfills} shows how far it is.
   *
   * @return the back-fill's number
   */
  public int backfill(String handler, BackfillRequest request, String reason) {
    return handlers.backfill(handler, request, reason);
  }

  /**
   * Ends the back-fill of a handler; the deliveries that it has made stay.
   *
   * @return its number
   */
  public int cancelBackfill(String handler, String reason) {
    return handlers.cancelBackfill(handler, reason);
  }

  /**
   * The back-fills, the newest first.
   *
   * @param limit 1 to 10,000
   */
  public List<Backfill> backfills(int limit) {
    return handlers.backfills(limit);
  }

  /**
   * Delivers recorded events again to the handlers that subscribe to them now, each delivery as a
   * new generation, in portions of a transaction each. Returns when they are made; running them is
   * the workers'.
   *
   * @param consumer gets each event when its portion is committed, also one that no handler gets
   */
  public void replay(ReplayRequest request, String reason, Consumer<ReplayedEvent> consumer) {
    replays.replay(request, reason, consumer);
  }

  /** What {@link #replay} would do. */
  public void previewReplay(ReplayRequest request, Consumer<ReplayedEvent> consumer) {
    replays.preview(request, consumer);
  }

  /** What has become of the deliveries of replayed events by now. */
  public Map<ReplayedEvent, List<DeliveryStatus>> outcomes(List<ReplayedEvent> events) {
    return replays.outcomes(events);
  }

  /**
   * Gives a handler another name. Workers that run under the old one go on; one that starts with it
   * is refused and told the new name.
   */
  public void renameHandler(String handler, String newName, String reason) {
    handlers.rename(handler, newName, reason);
  }

  /**
   * Takes a handler out of service: it gets nothing new, and what it has is finished or cancelled.
   * Cancelling goes in steps of a transaction each; returns when the handler is retired, or when
   * what is left needs time.
   */
  public RetirementProgress retireHandler(String handler, Retirement how, String reason) {
    return handlers.retire(handler, how, reason);
  }

  /**
   * Takes a handler back that is retired or retiring; the next worker that has it subscribes it.
   */
  public void reinstateHandler(String handler, String reason) {
    handlers.reinstate(handler, reason);
  }

  /** The queue per handler and priority, of every handler. */
  public List<QueueStatus> queueStatus() {
    return questions.queueStatus();
  }

  /** The living workers that no notification reaches, so that they look for work by polling. */
  public List<String> pollingWorkers() {
    return questions.pollingWorkers();
  }

  /** The known handlers, by name. */
  public List<HandlerStatus> handlers() {
    return questions.handlers();
  }

  /**
   * Dead letters of a handler, the oldest first.
   *
   * @param afterPosition the position of the last one known, or 0 for the first page
   * @param limit 1 to 10,000; a few more where the last event of the page died in several
   *     generations
   */
  public List<DeadLetter> deadLetters(String handler, long afterPosition, int limit) {
    return questions.deadLetters(handler, afterPosition, limit);
  }

  /**
   * The keys of ordered handlers that wait, those with the most behind them first.
   *
   * @param limit 1 to 10,000
   */
  public List<BlockedKey> blockedKeys(int limit) {
    return questions.blockedKeys(limit);
  }

  /** Whether the log has an event with this public id. */
  public boolean isRecorded(String eventId) {
    return questions.isRecorded(eventId);
  }

  /** Whether an event was recorded for the log only, as imported ones are: no handler gets it. */
  public boolean isLogOnly(String eventId) {
    return questions.isLogOnly(eventId);
  }

  /** The deliveries of an event, open and finished; empty when there is no such event. */
  public List<DeliveryStatus> deliveries(String eventId) {
    return questions.deliveries(eventId);
  }

  /** Every attempt of every delivery of an event, at most 10,000. */
  public List<AuditEntry> audit(String eventId) {
    return questions.audit(eventId);
  }

  /**
   * What belongs to a correlation id or a public event id: the causes above, all that followed and
   * everything of the same correlation; at most 1,000 events, causes before what they caused.
   */
  public List<TracedEvent> trace(String id) {
    return questions.trace(id);
  }

  /**
   * The operators' log, the newest first.
   *
   * @param limit 1 to 10,000
   */
  public List<OperatorAction> actions(int limit) {
    return questions.actions(limit);
  }

  /**
   * Reads the log as it is now, in the order of insertion, without holding it in memory. A consumer
   * may take its time: no transaction is open while it is called.
   *
   * @param consumer answers whether it wants more
   */
  public void events(EventFilter filter, Predicate<LoggedEvent> consumer) {
    reader.read(filter, consumer);
  }

  /**
   * Reads the newest events of the log, the oldest of them first. What is committed meanwhile, by a
   * transaction that began before, may come in addition.
   *
   * @param count how many; from 1
   * @param consumer answers whether it wants more
   */
  public void newestEvents(EventFilter filter, long count, Predicate<LoggedEvent> consumer) {
    reader.readNewest(filter, count, consumer);
  }

  /**
   * Follows the log until the consumer wants no more or the thread is interrupted. Without {@code
   * since} it starts with what is committed from now on.
   *
   * <p>A database that goes away is waited for, for as long as it takes; what is committed
   * meanwhile is seen when it is back.
   *
   * <p>Every event that is committed is seen once, however long its transaction was open and
   * whatever overtook it: it comes when it is committed, not in the order of insertion. The one
   * bound: of transactions that were already open at the start, the 100,000 numbers before it are
   * looked at.
   *
   * @param interval between two looks
   * @param consumer answers whether it wants more; called on this thread, outside any transaction
   * @param absence told why, each time that the database goes away
   */
  public void follow(
      EventFilter filter,
      Duration interval,
      Predicate<LoggedEvent> consumer,
      Consumer<OperationFailedException> absence) {
    new LogFollower(reader, filter).follow(interval, consumer, absence);
  }
}
