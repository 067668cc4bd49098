package dev.cortex.events.event;

import java.security.SecureRandom;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.regex.Pattern;

/**
 * The rules of public event ids, which all have the form {@code evt_20251201_165420_3dc39e75a77d}.
 */
public final class EventId {
  private static final Pattern FORM = Pattern.compile("evt_[0-9]{8}_[0-9]{6}_[a-z0-9]+");
  private static final int MAX_LENGTH = 100;

  /** More than a derived id's suffix can have, so that none is looked for under it. */
  private static final int SUFFIX_BYTES = 10;

  private static final SecureRandom RANDOM = new SecureRandom();
  private static final DateTimeFormatter SECOND =
      DateTimeFormatter.ofPattern("yyyyMMdd_HHmmss").withZone(ZoneOffset.UTC);

  private EventId() {}

  /**
   * The id of an event whose emitter gave none: its second of receipt and its number, so that the
   * database finds it again without an index on it. The SQL function {@code cortex.public_event_id}
   * has the same rule.
   */
  public static String derived(long number, Instant receivedAt) {
    // By hand: a claim makes one for each event, and a formatter took an eighth of a worker's time.
    LocalDateTime second =
        LocalDateTime.ofEpochSecond(receivedAt.getEpochSecond(), 0, ZoneOffset.UTC);
    StringBuilder id = new StringBuilder(36).append("evt_");
    append(id, second.getYear(), 4);
    append(id, second.getMonthValue(), 2);
    append(id, second.getDayOfMonth(), 2);
    id.append('_');
    append(id, second.getHour(), 2);
    append(id, second.getMinute(), 2);
    append(id, second.getSecond(), 2);
    return id.append('_').append(Long.toHexString(number)).toString();
  }

  /** An id for an event that its emitter names, as nobody else will. */
  public static String random(Instant now) {
    byte[] suffix = new byte[SUFFIX_BYTES];
    RANDOM.nextBytes(suffix);
    return "evt_" + SECOND.format(now) + "_" + HexFormat.of().formatHex(suffix);
  }

  private static void append(StringBuilder id, int number, int digits) {
    for (int divisor = digits == 4 ? 1_000 : 10; divisor > 0; divisor /= 10) {
      id.append((char) ('0' + number / divisor % 10));
    }
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
