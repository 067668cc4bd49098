package dev.cortex.events.event;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.regex.Pattern;

/** The rules that need no look at the database; each has a CHECK of the same meaning on the log. */
final class EventRules {
  static final String NO_NUL = "may not hold the character \\u0000, which PostgreSQL cannot store";
  static final String NO_LONE_SURROGATE =
      "may not hold half of a surrogate pair, which UTF-8 cannot encode";

  private static final int MAX_LENGTH = 200;
  private static final Pattern TYPE = Pattern.compile("[a-z][a-z0-9_]*(\\.[a-z0-9_]+)+");
  private static final Instant FIRST = Instant.parse("0001-01-01T00:00:00Z");
  private static final Instant END = Instant.parse("+10000-01-01T00:00:00Z");

  private EventRules() {}

  static void checkType(String type) {
    checkLength("type", type);
    if (!TYPE.matcher(type).matches()) {
      throw new InvalidEventException("type", "must be dotted lower case", type);
    }
  }

  static void checkLength(String field, String value) {
    int length = value.codePointCount(0, value.length());
    if (length < 1 || length > MAX_LENGTH) {
      throw new InvalidEventException(field, "must have 1 to 200 characters", value);
    }
    if (value.indexOf('\0') >= 0) {
      throw new InvalidEventException(field, NO_NUL);
    }
    if (hasLoneSurrogate(value)) {
      throw new InvalidEventException(field, NO_LONE_SURROGATE);
    }
  }

  static boolean hasLoneSurrogate(String text) {
    for (int i = 0; i < text.length(); i++) {
      char half = text.charAt(i);
      if (Character.isSurrogate(half)) {
        boolean paired =
            Character.isHighSurrogate(half)
                && i + 1 < text.length()
                && Character.isLowSurrogate(text.charAt(i + 1));
        if (!paired) {
          return true;
        }
        i++;
      }
    }
    return false;
  }

  /** Returns the moment cut to the microseconds that the database keeps. */
  static Instant checkedMoment(String field, Instant moment) {
    if (moment.isBefore(FIRST) || !moment.isBefore(END)) {
      throw new InvalidEventException(field, "must be in the years 1 to 9999", moment.toString());
    }
    return moment.truncatedTo(ChronoUnit.MICROS);
  }

  static void checkMetadata(Json metadata) {
    if (metadata.has("priority")) {
      throw new InvalidEventException(
          "metadata", "may not hold priority, which is a field of the event");
    }
  }

  static void checkExtensions(Json extensions) {
    if (Envelope.FIELDS.stream().anyMatch(extensions::has)) {
      throw new InvalidEventException("extensions", "may hold no field of an event");
    }
  }
}
