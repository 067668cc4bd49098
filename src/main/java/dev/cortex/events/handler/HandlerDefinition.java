package dev.cortex.events.handler;

import java.time.Duration;
import java.util.Collections;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;

/**
 * A handler as its author declares it: its name, what it subscribes to, the code, and how it is to
 * be run. Every {@code with} method returns a changed copy.
 *
 * <pre>{@code
 * HandlerDefinition.oneByOne("task-board", board::record).on("task.created", "task.assigned")
 * HandlerDefinition.batch("worker-health", health::record).on("worker.heartbeat")
 * HandlerDefinition.leased("webhooks", webhooks::call).on("task.*").withLease(Duration.ofSeconds(20))
 * }</pre>
 *
 * @param name lower-case words, unique in the database; renaming it orphans its backlog
 * @param patterns what it subscribes to: a type, a family ({@code security.*}) or all ({@code *}).
 *     A worker's start adds subscriptions, it never takes one away
 * @param work the code
 * @param retry what happens to failed deliveries
 * @param maxBatch the most events in one transaction, 1 to 10,000; the engine takes fewer where
 *     they take long or clash
 * @param timeBudget how long one transaction may run before its connection is cut: a batch is tried
 *     again with fewer events, a single event is charged with the reason {@code time_budget}; at
 *     most a day. The server ends what twice the budget has not ended. A leased handler is
 *     interrupted, and charged likewise
 * @param requirement what it needs of the database; a worker starts only where it is met
 * @param order the order of its events; empty: none
 * @param maxRunning how many batches, or leased deliveries, may run at once in the whole cluster, 1
 *     to 1024; empty: as many as there are places for. An operator's {@code cortex limit} goes
 *     before it
 * @param maxEmitted the most events that its context emits for one event, 1 to 1,000,000 (a batch
 *     handler: for each event of the batch, on average); one more fails the attempt with the reason
 *     {@code emitted_too_much}
 */
public record HandlerDefinition(
    String name,
    Set<String> patterns,
    Work work,
    RetryPolicy retry,
    int maxBatch,
    Duration timeBudget,
    Requirement requirement,
    Optional<Order> order,
    OptionalInt maxRunning,
    int maxEmitted) {

  private static final Requirement NOTHING = connection -> {};

  private static final Duration LONGEST_BUDGET = Duration.ofDays(1);
  private static final int MOST_RUNNING = 1024;
  private static final int MOST_EMITTED = 1_000_000;
  private static final int EMITTED_UNLESS_DECLARED = 10_000;
  private static final Pattern NAME = Pattern.compile("[a-z][a-z0-9]*([-_.][a-z0-9]+)*");
  private static final Pattern PATTERN =
      Pattern.compile("\\*|[a-z][a-z0-9_]*(\\.[a-z0-9_]+)*(\\.\\*)?");

  private static final Duration SHORTEST_LEASE = Duration.ofSeconds(1);
  private static final Duration LONGEST_LEASE = Duration.ofDays(1);

  /** The code of a handler, in one of its three shapes. */
  public sealed interface Work {

    /** The name of the shape in the database. */
    String mode();
  }

  /** Written for one event; the engine batches. */
  public record OneByOne(EventHandler handler) implements Work {
    @Override
    public String mode() {
      return "transactional";
    }
  }

  /** Written for a list of events. */
  public record Batch(BatchHandler handler) implements Work {
    @Override
    public String mode() {
      return "batch";
    }
  }

  /**
   * Written for one event, handled outside of a transaction.
   *
   * @param lease how long a lease lasts unless it is renewed, 1 second to 1 day: what a dead
   *     process holds is run by another one after that
   */
  public record Leased(LeasedHandler handler, Duration lease) implements Work {
    public Leased {
      if (lease.compareTo(SHORTEST_LEASE) < 0 || lease.compareTo(LONGEST_LEASE) > 0) {
        throw new IllegalArgumentException("lease must be 1 second to 1 day, was " + lease);
      }
    }

    @Override
    public String mode() {
      return "leased";
    }
  }

  public HandlerDefinition {
    if (name.length() > 100 || !NAME.matcher(name).matches()) {
      throw new IllegalArgumentException(
          "handler name must be lower-case words joined by - _ or ., at most 100 characters, was \""
              + name
              + "\"");
    }
    for (String pattern : patterns) {
      if (!PATTERN.matcher(pattern).matches()) {
        throw new IllegalArgumentException(
            "pattern must be a type, a family such as security.* or *, was \"" + pattern + "\"");
      }
    }
    if (order.isPresent() && work instanceof Leased) {
      throw new IllegalArgumentException(
          "a leased handler has no order, " + name + " asks for one");
    }
    if (maxBatch < 1 || maxBatch > 10_000) {
      throw new IllegalArgumentException("maxBatch must be 1 to 10,000, was " + maxBatch);
    }
    if (timeBudget.toMillis() < 1 || timeBudget.compareTo(LONGEST_BUDGET) > 0) {
      throw new IllegalArgumentException(
          "timeBudget must be 1 millisecond to 1 day, was " + timeBudget);
    }
    if (maxRunning.isPresent()
        && (maxRunning.getAsInt() < 1 || maxRunning.getAsInt() > MOST_RUNNING)) {
      throw new IllegalArgumentException(
          "maxRunning must be 1 to 1024, was " + maxRunning.getAsInt());
    }
    if (maxEmitted < 1 || maxEmitted > MOST_EMITTED) {
      throw new IllegalArgumentException("maxEmitted must be 1 to 1,000,000, was " + maxEmitted);
    }
    patterns = Collections.unmodifiableSet(new TreeSet<>(patterns));
  }

  /** A handler written for one event: batches of up to 100, 30 seconds. */
  public static HandlerDefinition oneByOne(String name, EventHandler handler) {
    return of(name, new OneByOne(handler), 100, Duration.ofSeconds(30));
  }

  /** A handler written for a list of events: batches of up to 1,000, 30 seconds. */
  public static HandlerDefinition batch(String name, BatchHandler handler) {
    return of(name, new Batch(handler), 1_000, Duration.ofSeconds(30));
  }

  /** A handler outside of a transaction: leases of 60 seconds, 15 minutes. */
  public static HandlerDefinition leased(String name, LeasedHandler handler) {
    return of(name, new Leased(handler, Duration.ofSeconds(60)), 1, Duration.ofMinutes(15));
  }

  private static HandlerDefinition of(String name, Work work, int maxBatch, Duration timeBudget) {
    return new HandlerDefinition(
        name,
        Set.of(),
        work,
        RetryPolicy.defaults(),
        maxBatch,
        timeBudget,
        NOTHING,
        Optional.empty(),
        OptionalInt.empty(),
        EMITTED_UNLESS_DECLARED);
  }

  /** Subscribed to these types and families too. */
  public HandlerDefinition on(String... patterns) {
    Set<String> all = new TreeSet<>(this.patterns);
    Collections.addAll(all, patterns);
    return new HandlerDefinition(
        name, all, work, retry, maxBatch, timeBudget, requirement, order, maxRunning, maxEmitted);
  }

  /** Tries failed deliveries again by this policy, in place of {@link RetryPolicy#defaults()}. */
  public HandlerDefinition withRetry(RetryPolicy retry) {
    return new HandlerDefinition(
        name,
        patterns,
        work,
        retry,
        maxBatch,
        timeBudget,
        requirement,
        order,
        maxRunning,
        maxEmitted);
  }

  /**
   * At most so many events in one transaction, 1 to 10,000; 100 unless said for a handler of one
   * event, 1,000 for a batch handler.
   *
   * @throws IllegalArgumentException for any other number
   */
  public HandlerDefinition withMaxBatch(int maxBatch) {
    return new HandlerDefinition(
        name,
        patterns,
        work,
        retry,
        maxBatch,
        timeBudget,
        requirement,
        order,
        maxRunning,
        maxEmitted);
  }

  /**
   * At most so long for one transaction, or for one leased delivery, up to a day; 30 seconds and 15
   * minutes unless said.
   *
   * @throws IllegalArgumentException for any other time
   */
  public HandlerDefinition withTimeBudget(Duration timeBudget) {
    return new HandlerDefinition(
        name,
        patterns,
        work,
        retry,
        maxBatch,
        timeBudget,
        requirement,
        order,
        maxRunning,
        maxEmitted);
  }

  /** A worker starts only where this is met; unless said, everywhere. */
  public HandlerDefinition withRequirement(Requirement requirement) {
    return new HandlerDefinition(
        name,
        patterns,
        work,
        retry,
        maxBatch,
        timeBudget,
        requirement,
        order,
        maxRunning,
        maxEmitted);
  }

  /** Handles the events of one key one after the other: {@link Order#byKey()}. */
  public HandlerDefinition ordered() {
    return ordered(Order.byKey());
  }

  /** Handles the events of one key one after the other. */
  public HandlerDefinition ordered(Order order) {
    return new HandlerDefinition(
        name,
        patterns,
        work,
        retry,
        maxBatch,
        timeBudget,
        requirement,
        Optional.of(order),
        maxRunning,
        maxEmitted);
  }

  /** A leased handler with leases of this length, 1 second to 1 day. */
  public HandlerDefinition withLease(Duration lease) {
    if (!(work instanceof Leased leased)) {
      throw new IllegalStateException(
          "withLease is for leased handlers, and " + name + " is " + work.mode());
    }
    return new HandlerDefinition(
        name,
        patterns,
        new Leased(leased.handler(), lease),
        retry,
        maxBatch,
        timeBudget,
        requirement,
        order,
        maxRunning,
        maxEmitted);
  }

  /** Of which so many batches, or leased deliveries, may run at once in the whole cluster. */
  public HandlerDefinition withMaxRunning(int maxRunning) {
    return new HandlerDefinition(
        name,
        patterns,
        work,
        retry,
        maxBatch,
        timeBudget,
        requirement,
        order,
        OptionalInt.of(maxRunning),
        maxEmitted);
  }

  /** Whose context emits so many events for one event at most. */
  public HandlerDefinition withMaxEmitted(int maxEmitted) {
    return new HandlerDefinition(
        name,
        patterns,
        work,
        retry,
        maxBatch,
        timeBudget,
        requirement,
        order,
        maxRunning,
        maxEmitted);
  }
}
