package dev.cortex.events.event;

import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The timestamps of envelopes: ISO 8601 with an offset, which archives spell {@code Z}, {@code
 * +0000}, {@code -06:00} or {@code +00}. Finer than microseconds is cut off.
 */
final class Timestamp {
  private static final String RULE =
      "must be an ISO 8601 date and time with an offset, such as 2025-12-01T22:54:20Z";

  private static final Pattern FORM =
      Pattern.compile(
          "(\\d{4})-(\\d\\d)-(\\d\\d)T(\\d\\d):(\\d\\d):(\\d\\d)(?:\\.(\\d{1,30}))?"
              + "(?:Z|([+-])(\\d\\d)(?::?(\\d\\d))?)");

  private Timestamp() {}

  static Instant parse(String field, String text) {
    return parseLeniently(text).orElseThrow(() -> new InvalidEventException(field, RULE, text));
  }

  /** Empty where the text is no such timestamp. */
  static Optional<Instant> parseLeniently(String text) {
    Matcher parts = FORM.matcher(text);
    if (!parts.matches()) {
      return Optional.empty();
    }
    try {
      return Optional.of(local(parts).toInstant(offset(parts)));
    } catch (DateTimeException e) {
      return Optional.empty();
    }
  }

  private static LocalDateTime local(Matcher parts) {
    return LocalDateTime.of(
        number(parts, 1),
        number(parts, 2),
        number(parts, 3),
        number(parts, 4),
        number(parts, 5),
        number(parts, 6),
        nanoseconds(parts.group(7)));
  }

  private static int nanoseconds(@Nullable String fraction) {
    return fraction == null ? 0 : Integer.parseInt((fraction + "000000").substring(0, 6)) * 1000;
  }

  private static ZoneOffset offset(Matcher parts) {
    if (parts.group(8) == null) {
      return ZoneOffset.UTC;
    }
    int sign = parts.group(8).equals("-") ? -1 : 1;
    int minutes = parts.group(10) == null ? 0 : number(parts, 10);
    return ZoneOffset.ofHoursMinutes(sign * number(parts, 9), sign * minutes);
  }

  private static int number(Matcher parts, int group) {
    return Integer.parseInt(parts.group(group));
  }
}
