package dev.cortex.events.event;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A JSON object as a value: the payload or the metadata of an event. Holds the text and reads it
 * only when somebody looks inside, so that handing an event on costs no parsing.
 *
 * <p>Limits, the same as the database's: nested at most 100 deep, numbers of at most 1000 digits. A
 * name may stand only once in an object, since {@code jsonb} would silently keep the last one.
 *
 * <p>Immutable and thread-safe. Two values are equal when their JSON is, whatever its spelling.
 */
public final class Json {
  /** How deep a document may be nested. */
  public static final int MAX_DEPTH = 100;

  /** How many digits a number may have. */
  public static final int MAX_DIGITS = 1000;

  private static final int MAX_CHARACTERS = 16 * 1024 * 1024;

  /**
   * Tells a NUL character, which no text in PostgreSQL can hold, and a lone surrogate in an escape.
   */
  private static final Pattern ESCAPED_NUL = Pattern.compile("(?<!\\\\)(\\\\\\\\)*\\\\u0000");

  private static final JsonMapper MAPPER =
      JsonMapper.builder(
              JsonFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder()
                          .maxNestingDepth(MAX_DEPTH)
                          .maxNumberLength(MAX_DIGITS)
                          .maxStringLength(MAX_CHARACTERS)
                          .maxNameLength(MAX_CHARACTERS)
                          .build())
                  .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                  .build())
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .build();

  private static final Json EMPTY = new Json("{}", MAPPER.createObjectNode());

  private final String text;
  private volatile @Nullable ObjectNode tree;

  private Json(String text, @Nullable ObjectNode tree) {
    this.text = Objects.requireNonNull(text, "text");
    this.tree = tree;
  }

  /** The object without members. */
  public static Json empty() {
    return EMPTY;
  }

  /**
   * Reads an object.
   *
   * @param field what it is read for, to be named in the error
   * @throws InvalidEventException when the text is not one JSON object within the limits
   */
  public static Json parse(String field, String text) {
    return of(field, read(field, text), text);
  }

  /**
   * An object from names and values that Jackson can write.
   *
   * @throws InvalidEventException when they make no JSON object within the limits
   */
  public static Json of(Map<String, ?> members) {
    try {
      return parse("payload", MAPPER.writeValueAsString(members));
    } catch (JsonProcessingException e) {
      throw new InvalidEventException(
          "payload", "must be writable as JSON (" + e.getOriginalMessage() + ")");
    }
  }

  /** An object from a tree, which is copied. */
  public static Json of(ObjectNode tree) {
    return parse("payload", tree.toString());
  }

  /** An object whose text comes from the database, which has checked it. Not parsed until asked. */
  public static Json stored(String text) {
    return new Json(text, null);
  }

  private static Json of(String field, JsonNode node, String text) {
    if (!(node instanceof ObjectNode object)) {
      throw new InvalidEventException(
          field,
          "must be a JSON object, was "
              + node.getNodeType().name().toLowerCase(java.util.Locale.ROOT));
    }
    if (text.contains("\\u0000") && ESCAPED_NUL.matcher(text).find()) {
      throw new InvalidEventException(
          field, "may not hold the character \\u0000, which PostgreSQL cannot store");
    }
    return new Json(text, object);
  }

  private static JsonNode read(String field, String text) {
    try {
      return MAPPER.readTree(text);
    } catch (JsonProcessingException e) {
      throw new InvalidEventException(field, "must be valid JSON (" + e.getOriginalMessage() + ")");
    }
  }

  /** The JSON text. */
  public String text() {
    return text;
  }

  /** The object as a Jackson tree, a copy of the caller's own. */
  public ObjectNode tree() {
    return parsed().deepCopy();
  }

  private ObjectNode parsed() {
    ObjectNode known = tree;
    if (known == null) {
      known = (ObjectNode) read("payload", text);
      tree = known;
    }
    return known;
  }

  /** The text of the member with this name, when it is a string. */
  public Optional<String> string(String name) {
    JsonNode member = parsed().get(name);
    return member != null && member.isTextual()
        ? Optional.of(member.textValue())
        : Optional.empty();
  }

  /**
   * The object bound to a type of the caller's; members that the type does not know are passed
   * over.
   *
   * @throws InvalidEventException when the object does not fit the type
   */
  public <T> T as(Class<T> type) {
    try {
      return MAPPER.treeToValue(parsed(), type);
    } catch (JsonProcessingException e) {
      throw new InvalidEventException(
          "payload", "must fit " + type.getSimpleName() + " (" + e.getOriginalMessage() + ")");
    }
  }

  @Override
  public boolean equals(@Nullable Object other) {
    return other instanceof Json json && (text.equals(json.text) || parsed().equals(json.parsed()));
  }

  @Override
  public int hashCode() {
    return parsed().hashCode();
  }

  /** Says how long it is, never what it holds: payloads do not belong in logs. */
  @Override
  public String toString() {
    return "Json[" + text.length() + " characters]";
  }
}
