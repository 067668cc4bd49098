package dev.cortex.events.delivery;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.Optional;

/**
 * How a delivery that is not done goes on, and what the audit says of it.
 *
 * @param outcome the word of the audit
 * @param reason a word for machines, such as {@code handler_failed}
 * @param error what there is to say, for people
 * @param isCharged whether it costs an attempt
 * @param next what becomes of the delivery
 * @param delay how long until it is due again, where it is kept for later
 */
public record Settlement(
    String outcome, String reason, String error, boolean isCharged, Next next, Duration delay) {

  private static final int MAX_ERROR_LENGTH = 8_000;
  private static final Duration AFTER_CONTENTION = Duration.ofSeconds(1);

  /** What becomes of the delivery. */
  public enum Next {
    LATER,
    DEAD,
    GONE
  }

  public Settlement {
    error = error.length() <= MAX_ERROR_LENGTH ? error : error.substring(0, MAX_ERROR_LENGTH);
    // What the database's text cannot hold: also the half of a pair that the cut may have left.
    error = new String(error.getBytes(UTF_8), UTF_8).replace('\0', '\uFFFD');
  }

  /** Failed, an attempt is charged, due again after the delay. */
  public static Settlement retry(String reason, String error, Duration delay) {
    return new Settlement("retry", reason, error, true, Next.LATER, delay);
  }

  /** Due again after the delay, without an attempt being charged. */
  public static Settlement snooze(String reason, Duration delay) {
    return new Settlement("snooze", reason, "", false, Next.LATER, delay);
  }

  /** It met rivals time and again, and gives way to them for a while. */
  public static Settlement contention() {
    return snooze("contention", AFTER_CONTENTION);
  }

  /** Failed for the last time. */
  public static Settlement dead(String reason, String error) {
    return new Settlement("dead", reason, error, true, Next.DEAD, Duration.ZERO);
  }

  /** Its event is not in the log any more: retention dropped it. */
  public static Settlement eventGone() {
    return dead("event_gone", "the event is not in the log any more");
  }

  /** It waited for longer than its handler's policy lets it. */
  public static Settlement expired() {
    return dead("expired", "the event was received longer ago than the handler's maximum age");
  }

  /** The lease ran out while a worker held it: charged, and due at once. */
  public static Settlement leaseLost() {
    return new Settlement("crash", "lease_lost", "", true, Next.LATER, Duration.ZERO);
  }

  /** It need not run. */
  public static Settlement cancel(String reason) {
    return new Settlement("cancel", "cancelled", reason, true, Next.GONE, Duration.ZERO);
  }

  /** The same, but that the process which ran it died of it. A dead delivery stays dead. */
  public Settlement ofCrash() {
    return next == Next.DEAD
        ? this
        : new Settlement("crash", reason, error, isCharged, next, delay);
  }

  Optional<String> errorIfAny() {
    return error.isEmpty() ? Optional.empty() : Optional.of(error);
  }
}
