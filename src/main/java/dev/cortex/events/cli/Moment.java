package dev.cortex.events.cli;

import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** A moment that a person states: a time with an offset, or how long ago. */
final class Moment {
  private static final Pattern AGO = Pattern.compile("(\\d{1,6})(s|m|h|d)");

  private final @Nullable Instant time;
  private final Duration ago;

  private Moment(@Nullable Instant time, Duration ago) {
    this.time = time;
    this.ago = ago;
  }

  /** Empty where the text is neither. */
  static Optional<Moment> parse(String text) {
    Matcher parts = AGO.matcher(text);
    if (parts.matches()) {
      return Optional.of(
          new Moment(null, duration(Long.parseLong(parts.group(1)), parts.group(2))));
    }
    try {
      return Optional.of(new Moment(OffsetDateTime.parse(text).toInstant(), Duration.ZERO));
    } catch (DateTimeException e) {
      return Optional.empty();
    }
  }

  private static Duration duration(long number, String unit) {
    return switch (unit) {
      case "s" -> Duration.ofSeconds(number);
      case "m" -> Duration.ofMinutes(number);
      case "h" -> Duration.ofHours(number);
      default -> Duration.ofDays(number);
    };
  }

  Instant from(Instant now) {
    return time == null ? now.minus(ago) : time;
  }
}
