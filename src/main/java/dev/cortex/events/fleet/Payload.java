package dev.cortex.events.fleet;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.InvalidEventException;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Supplier;

/**
 * A payload as the old system's scripts write them: a member may go by several names, a number may
 * be written as a string, null and the empty string mean absent. A member that is there and cannot
 * be read so breaks a rule, which is named, where the event is about it. Where it only describes
 * ({@link #shortText}, {@link #readable}), it is left out, and the event counts.
 */
final class Payload {
  private static final int MAX_LENGTH = 200;
  private static final BigDecimal MAX_COUNT = BigDecimal.valueOf(1_000_000_000_000_000L);
  private static final BigDecimal MAX_DURATION_MS = BigDecimal.valueOf(10_000_000_000L);
  private static final BigDecimal MS_PER_SECOND = BigDecimal.valueOf(1000);

  private final ObjectNode members;
  private final String document;

  private Payload(ObjectNode members, String document) {
    this.members = members;
    this.document = document;
  }

  static Payload of(Event event) {
    return new Payload(event.payload().tree(), "payload");
  }

  static Payload metadataOf(Event event) {
    return new Payload(event.metadata().tree(), "metadata");
  }

  /**
   * The first of these members that is there, as text.
   *
   * @throws InvalidEventException when it is no string, number or boolean of 1 to 200 characters
   */
  Optional<String> text(String... names) {
    return first(names).map(this::text);
  }

  /**
   * The first of these members that is a string, number or boolean, cut to 200 characters; for what
   * only describes.
   */
  Optional<String> shortText(String... names) {
    for (String name : names) {
      Optional<String> text = first(name).filter(m -> m.node().isValueNode()).map(Payload::cut);
      if (text.isPresent()) {
        return text;
      }
    }
    return Optional.empty();
  }

  private static String cut(Member member) {
    String text = member.node().asText();
    return length(text) <= MAX_LENGTH
        ? text
        : text.substring(0, text.offsetByCodePoints(0, MAX_LENGTH));
  }

  private String text(Member member) {
    String text = member.node().asText();
    if (!member.node().isValueNode() || length(text) > MAX_LENGTH) {
      throw refused(member, "must be a string of 1 to 200 characters");
    }
    return text;
  }

  /** As the entrances count. */
  private static int length(String text) {
    return text.codePointCount(0, text.length());
  }

  /** What is read, or nothing where that breaks a rule; for what only describes. */
  static <T> Optional<T> readable(Supplier<Optional<T>> reading) {
    try {
      return reading.get();
    } catch (InvalidEventException e) {
      return Optional.empty();
    }
  }

  /**
   * The first of these members that is there, as a whole number.
   *
   * @throws InvalidEventException when it is none, or not from 0 to 10^15
   */
  OptionalLong count(String... names) {
    Optional<Member> member = first(names);
    return member.isPresent()
        ? OptionalLong.of(
            rounded(member.get(), BigDecimal.ONE, MAX_COUNT, "must be a number from 0 to 10^15"))
        : OptionalLong.empty();
  }

  /**
   * The first of these members that is there, as a part of a whole.
   *
   * @throws InvalidEventException when it is no number from 0 to 1
   */
  Optional<BigDecimal> ratio(String... names) {
    return first(names).map(this::ratio);
  }

  private BigDecimal ratio(Member member) {
    String rule = "must be a number from 0 to 1";
    BigDecimal number = number(member, rule);
    if (number.compareTo(BigDecimal.ONE) > 0) {
      throw refused(member, rule);
    }
    return number;
  }

  /**
   * The texts of 1 to 200 characters in the first of these members that is a list; what else is in
   * it is passed over.
   */
  List<String> texts(String... names) {
    List<String> texts = new ArrayList<>();
    for (JsonNode item : firstList(names)) {
      String text = item.asText();
      if (item.isValueNode() && isThere(item) && length(text) <= MAX_LENGTH) {
        texts.add(text);
      }
    }
    return texts;
  }

  private ArrayNode firstList(String... names) {
    for (String name : names) {
      if (members.get(name) instanceof ArrayNode list) {
        return list;
      }
    }
    return members.arrayNode();
  }

  /**
   * How long it took, in milliseconds. A member without a unit in its name is in seconds. It has a
   * limit, 10^10 ms, which is 115 days, so that no sum of durations overflows.
   *
   * @throws InvalidEventException when it is no number, or none from 0 to that
   */
  OptionalLong durationMs() {
    String rule = "must be a duration of 0 to 10^10 ms";
    Optional<Member> ms = first("duration_ms");
    Optional<Member> member = ms.or(() -> first("duration_seconds", "duration", "execution_time"));
    BigDecimal factor = ms.isPresent() ? BigDecimal.ONE : MS_PER_SECOND;
    return member.isPresent()
        ? OptionalLong.of(rounded(member.get(), factor, MAX_DURATION_MS, rule))
        : OptionalLong.empty();
  }

  private long rounded(Member member, BigDecimal factor, BigDecimal most, String rule) {
    BigDecimal number = number(member, rule).multiply(factor);
    if (number.compareTo(most) > 0) {
      throw refused(member, rule);
    }
    return number.longValue();
  }

  private BigDecimal number(Member member, String rule) {
    try {
      if (member.node().isNumber() || member.node().isTextual()) {
        BigDecimal number = new BigDecimal(member.node().asText());
        if (number.signum() >= 0) {
          return number;
        }
      }
    } catch (NumberFormatException e) {
      // Refused below, as every other value that is no such number.
    }
    throw refused(member, rule);
  }

  private record Member(String name, JsonNode node) {}

  private Optional<Member> first(String... names) {
    for (String name : names) {
      JsonNode node = members.get(name);
      if (node != null && isThere(node)) {
        return Optional.of(new Member(name, node));
      }
    }
    return Optional.empty();
  }

  /** Old scripts write the empty string for what they do not know. */
  private static boolean isThere(JsonNode node) {
    return !node.isNull() && !(node.isTextual() && node.textValue().isEmpty());
  }

  private InvalidEventException refused(Member member, String rule) {
    String field = document + "." + member.name();
    return member.node().isValueNode()
        ? new InvalidEventException(field, rule, member.node().asText())
        : new InvalidEventException(field, rule);
  }
}
