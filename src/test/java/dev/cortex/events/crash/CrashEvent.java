package dev.cortex.events.crash;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;

/**
 * The events of the crash tests. All about one follows from its number and its source, so that who
 * emits, who handles and who audits need not talk to each other; promises.sql has the same rules.
 */
final class CrashEvent {
  static final String PLAIN = "crash.happened";
  static final String KEYED = "crash.keyed";
  static final String LEASED = "crash.leased";

  /** What the handlers emit. */
  static final String FOLLOW_UP = "crash.followed";

  /**
   * Keys of one emitter. Each emitter has its own, so that the transactions of a key do not
   * overlap.
   */
  static final int KEYS = 75;

  static final Duration DELAY = Duration.ofMillis(500);

  /** What a handler is to do with an event, beside its effect. */
  enum Temper {
    CALM,
    /** Throws at its first attempt, after it has written. */
    FAILS_ONCE,
    /** Says retry at its first attempt. */
    RETRIES_ONCE,
    /** Says snooze now and then. */
    SNOOZES,
    /** Says dead at its first attempt, so that it is done when an operator has redriven it. */
    DEAD_ONCE,
    /** Says dead, whenever it is asked. Not of keyed events, whose key it would hold for ever. */
    DEAD,
    /** Says that it need not run. */
    CANCELS
  }

  private CrashEvent() {}

  static Temper temper(int n) {
    return switch (n % 997) {
      case 1 -> Temper.FAILS_ONCE;
      case 2 -> Temper.RETRIES_ONCE;
      case 3 -> Temper.SNOOZES;
      case 4 -> Temper.DEAD_ONCE;
      case 5 -> type(n).equals(KEYED) ? Temper.CALM : Temper.DEAD;
      case 6 -> Temper.CANCELS;
      default -> Temper.CALM;
    };
  }

  static boolean hasFollowUp(int n) {
    return n % 53 == 0;
  }

  /** Whether whoever does not know what became of it can emit it again without doubling it. */
  static boolean isRepeatable(int n) {
    return n % 10 == 3 || n % 10 == 4;
  }

  static EventDraft plain(int n, String source) {
    return EventDraft.of(PLAIN, source).withPayload(payload(n));
  }

  /** What follows from the handling of an event by a handler. */
  static EventDraft followUp(int n, String handler) {
    return EventDraft.of(FOLLOW_UP, handler)
        .withPayload(
            "{\"n\": %d, \"check\": \"%s\", \"by\": \"%s\"}".formatted(n, digest(n), handler));
  }

  /** As {@link #insert} makes it. */
  static EventDraft draft(int n, String source) {
    EventDraft draft = EventDraft.of(type(n), source).withPayload(payload(n));
    if (n % 20 >= 12 && n % 20 < 19) {
      draft = draft.withKey(source + '-' + n % KEYS);
    }
    if (n % 10 == 3) {
      draft = draft.withEventId("evt_20260101_000000_n" + n);
    } else if (n % 10 == 4) {
      draft = draft.withDedupeKey("n" + n);
    }
    if (n % 101 == 0) {
      draft = draft.withRunAt(Instant.now().plus(DELAY));
    }
    if (n % 11 == 0) {
      return draft.withPriority(Priority.HIGH);
    }
    return n % 13 == 0 ? draft.withPriority(Priority.LOW) : draft;
  }

  /** Emits the events from one number to another in one statement. */
  static void insert(Connection connection, int first, int last, String source)
      throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.executeUpdate(
          """
          insert into cortex.events (type, source, payload, key, event_id, dedupe_key, run_at, priority)
          select case when n %% 20 < 12 then 'crash.happened' when n %% 20 < 19 then 'crash.keyed' else 'crash.leased' end,
                 '%1$s',
                 jsonb_build_object('n', n, 'check', md5(n::text)),
                 case when n %% 20 between 12 and 18 then '%1$s-' || n %% %2$d end,
                 case when n %% 10 = 3 then 'evt_20260101_000000_n' || n end,
                 case when n %% 10 = 4 then 'n' || n end,
                 case when n %% 101 = 0 then clock_timestamp() + interval '%3$d ms' end,
                 case when n %% 11 = 0 then 'high'::cortex.priority when n %% 13 = 0 then 'low' end
            from generate_series(%4$d, %5$d) n
           order by n
          """
              .formatted(source, KEYS, DELAY.toMillis(), first, last));
    }
  }

  private static String type(int n) {
    int kind = n % 20;
    return kind < 12 ? PLAIN : kind < 19 ? KEYED : LEASED;
  }

  private static String payload(int n) {
    return "{\"n\": %d, \"check\": \"%s\"}".formatted(n, digest(n));
  }

  /** As PostgreSQL's md5 of the number. */
  static String digest(int n) {
    try {
      byte[] bytes =
          MessageDigest.getInstance("MD5")
              .digest(Integer.toString(n).getBytes(StandardCharsets.US_ASCII));
      return "%032x".formatted(new BigInteger(1, bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }
}
