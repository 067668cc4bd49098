package dev.cortex.events.event;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Reads the text of one JSON object, token by token, and holds it to the rules that the database
 * has: what {@code jsonb} refuses is refused here in words, and what it would silently change (a
 * repeated name, of which it keeps the last) is refused too. Errors say where, never what.
 */
final class JsonText {
  static final int MAX_CHARACTERS = 32 * 1024 * 1024;
  static final int MAX_DEPTH = 100;
  static final int MAX_DIGITS = 1000;

  /** A number written longer than this is not even looked at; most of it would be zeros. */
  private static final int MAX_NUMBER_CHARACTERS = 10_000;

  /** The parser's own limits lie beyond ours, so that ours speak. */
  static final JsonMapper MAPPER =
      JsonMapper.builder(
              JsonFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder()
                          .maxNestingDepth(MAX_DEPTH + 10)
                          .maxNumberLength(MAX_CHARACTERS)
                          .maxStringLength(MAX_CHARACTERS)
                          .maxNameLength(MAX_CHARACTERS)
                          .build())
                  .build())
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .build();

  private final String text;
  private final int maxDepth;
  private final boolean escapes;
  private final Deque<Set<String>> names = new ArrayDeque<>();
  private String field;

  private JsonText(String field, String text, int maxDepth) {
    this.field = field;
    this.text = text;
    this.maxDepth = maxDepth;
    this.escapes = text.contains("\\u");
  }

  /**
   * Checks the text of a field whose value is an object.
   *
   * @throws InvalidEventException naming the field
   */
  static void check(String field, String text) {
    new JsonText(field, text, MAX_DEPTH).check(false);
  }

  /**
   * Reads the text of a whole event, in which documents lie one level deeper.
   *
   * @throws InvalidEventException naming the member that breaks a rule
   */
  static ObjectNode event(String text) {
    new JsonText("event", text, MAX_DEPTH + 1).check(true);
    return tree("event", text);
  }

  /** The tree of a text that has been checked, here or by the database. */
  static ObjectNode tree(String field, String text) {
    try {
      return (ObjectNode) MAPPER.readTree(text);
    } catch (JsonProcessingException e) {
      throw malformed(field, e);
    }
  }

  private void check(boolean namesMembers) {
    if (text.length() > MAX_CHARACTERS) {
      throw tooLarge("may have at most " + MAX_CHARACTERS + " characters of JSON");
    }
    checkCharacters(text);
    String whole = field;
    try (JsonParser parser = MAPPER.createParser(text)) {
      checkIsObject(parser.nextToken());
      enter();
      while (!names.isEmpty()) {
        JsonToken token = parser.nextToken();
        if (namesMembers && names.size() == 1) {
          field = token == JsonToken.FIELD_NAME ? Envelope.columnOf(parser.currentName()) : field;
        }
        check(token, parser);
      }
      field = whole;
      if (parser.nextToken() != null) {
        throw invalid(Defect.INVALID_JSON, "must be one JSON document");
      }
    } catch (StreamConstraintsException e) {
      throw tooLarge("may be nested at most " + MAX_DEPTH + " deep, is nested deeper");
    } catch (JsonProcessingException e) {
      throw malformed(whole, e);
    } catch (IOException e) {
      throw new IllegalStateException("a text in memory cannot fail to be read", e);
    }
  }

  private void check(JsonToken token, JsonParser parser) throws IOException {
    switch (token) {
      case START_OBJECT, START_ARRAY -> enter();
      case END_OBJECT, END_ARRAY -> names.pop();
      case FIELD_NAME -> checkName(parser.currentName());
      case VALUE_STRING -> checkEscaped(parser);
      case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> checkNumber(parser.getText());
      default -> {
        // true, false and null are always right
      }
    }
  }

  private void checkIsObject(@Nullable JsonToken first) {
    if (first == JsonToken.START_OBJECT) {
      return;
    }
    if (first == null) {
      throw invalid(Defect.INVALID_JSON, "must be a JSON object, was empty");
    }
    throw invalid(
        field.equals("event") ? Defect.NOT_AN_EVENT : Defect.INVALID_FIELD,
        "must be a JSON object");
  }

  private void enter() {
    names.push(new HashSet<>());
    if (names.size() > maxDepth) {
      throw tooLarge("may be nested at most " + MAX_DEPTH + " deep, is nested deeper");
    }
  }

  private void checkName(String name) {
    if (escapes) {
      checkCharacters(name);
    }
    if (!names.element().add(name)) {
      throw invalid(Defect.INVALID_FIELD, "may hold a name only once in an object");
    }
  }

  private void checkEscaped(JsonParser parser) throws IOException {
    if (escapes) {
      checkCharacters(parser.getText());
    }
  }

  private void checkCharacters(String characters) {
    if (characters.indexOf('\0') >= 0) {
      throw invalid(Defect.INVALID_FIELD, EventRules.NO_NUL);
    }
    if (EventRules.hasLoneSurrogate(characters)) {
      throw invalid(Defect.INVALID_FIELD, EventRules.NO_LONE_SURROGATE);
    }
  }

  private void checkNumber(String number) {
    if (number.length() > MAX_DIGITS || number.indexOf('e') >= 0 || number.indexOf('E') >= 0) {
      if (digits(number) > MAX_DIGITS) {
        throw tooLarge("may hold numbers of at most 1000 digits, holds a longer one");
      }
    }
  }

  /** The digits of a number written out in full, as {@code jsonb} stores and prints it. */
  private static long digits(String number) {
    if (number.length() > MAX_NUMBER_CHARACTERS) {
      return number.length();
    }
    try {
      BigDecimal value = new BigDecimal(number);
      long whole = value.signum() == 0 ? 1 : Math.max(1, (long) value.precision() - value.scale());
      return whole + Math.max(0, value.scale());
    } catch (NumberFormatException e) {
      return Long.MAX_VALUE; // its exponent alone is out of any range
    }
  }

  private InvalidEventException tooLarge(String rule) {
    return invalid(Defect.TOO_LARGE, rule);
  }

  private InvalidEventException invalid(Defect defect, String rule) {
    return new InvalidEventException(defect, field, rule);
  }

  /** Jackson's own message may hold a piece of the text, so only the place is told. */
  private static InvalidEventException malformed(String field, JsonProcessingException e) {
    return new InvalidEventException(
        Defect.INVALID_JSON,
        field,
        e.getLocation() == null
            ? "must be valid JSON"
            : "must be valid JSON, is not from line %d, column %d on"
                .formatted(e.getLocation().getLineNr(), e.getLocation().getColumnNr()));
  }
}
