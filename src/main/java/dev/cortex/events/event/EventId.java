package dev.cortex.events.event;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.regex.Pattern;

/**
 * The rules of public event ids, which all have the form {@code evt_20251201_165420_3dc39e75a77d}.
 */
public final class EventId {
  private static final Pattern FORM = Pattern.compile("evt_[0-9]{8}_[0-9]{6}_[a-z0-9]+");
  private static final int MAX_LENGTH = 100;
  private static final DateTimeFormatter SECOND =
      DateTimeFormatter.ofPattern("uuuuMMdd_HHmmss").withZone(ZoneOffset.UTC);

  private EventId() {}

  /**
   * The id of an event whose emitter gave none: its second of receipt and its number, so that the
   * database finds it again without an index on it. The SQL function {@code cortex.public_event_id}
   * has the same rule.
   */
  public static String derived(long number, Instant receivedAt) {
    return "evt_" + SECOND.format(receivedAt) + "_" + Long.toHexString(number);
  }

  /**
   * Returns the id when it has the form.
   *
   * @throws InvalidEventException when it has not
   */
  public static String checked(String id) {
    if (id.length() > MAX_LENGTH || !FORM.matcher(id).matches()) {
      throw new InvalidEventException(
          "event_id",
          "must have the form evt_YYYYMMDD_HHMMSS_suffix of at most 100 characters",
          id);
    }
    return id;
  }
}
