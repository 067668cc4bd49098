package dev.cortex.events.event;

import java.time.Instant;
import java.util.regex.Pattern;

/** The rules that need no look at the database; each has a CHECK of the same meaning on the log. */
final class EventRules {
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
      throw new InvalidEventException(
          field, "may not hold the character \\u0000, which PostgreSQL cannot store");
    }
  }

  static void checkMoment(String field, Instant moment) {
    if (moment.isBefore(FIRST) || !moment.isBefore(END)) {
      throw new InvalidEventException(field, "must be in the years 1 to 9999", moment.toString());
    }
  }

  static void checkMetadata(Json metadata) {
    if (metadata.tree().has("priority")) {
      throw new InvalidEventException(
          "metadata", "may not hold priority, which is a field of the event");
    }
  }
}
