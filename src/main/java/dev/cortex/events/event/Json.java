package dev.cortex.events.event;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Iterator;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
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
  public static final int MAX_DEPTH = JsonText.MAX_DEPTH;

  /** How many digits a number may have, written out in full: {@code 1e999} has 1000. */
  public static final int MAX_DIGITS = JsonText.MAX_DIGITS;

  private static final Json EMPTY = new Json("{}", null);

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
    JsonText.check(field, text);
    return new Json(text, null);
  }

  /**
   * An object from names and values that Jackson can write.
   *
   * @throws InvalidEventException when they make no JSON object within the limits
   */
  public static Json of(Map<String, ?> members) {
    try {
      return parse("payload", JsonText.MAPPER.writeValueAsString(members));
    } catch (JsonProcessingException e) {
      throw new InvalidEventException("payload", "must be writable as JSON");
    }
  }

  /**
   * An object from a tree, which is copied.
   *
   * @throws InvalidEventException when it is not within the limits
   */
  public static Json of(ObjectNode tree) {
    return parse("payload", tree.toString());
  }

  /** An object whose text comes from the database, which has checked it. Not parsed until asked. */
  public static Json stored(String text) {
    return new Json(text, null);
  }

  /** A part of a tree whose text has been checked. */
  static Json checked(ObjectNode tree) {
    return new Json(tree.toString(), tree);
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
      known = JsonText.tree("payload", text);
      tree = known;
    }
    return known;
  }

  /** Whether there is a member with this name, be it {@code null}. */
  public boolean has(String name) {
    return parsed().has(name);
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
      return JsonText.MAPPER.treeToValue(parsed(), type);
    } catch (JsonProcessingException e) {
      throw new InvalidEventException("payload", "must fit " + type.getSimpleName() + where(e));
    }
  }

  /** Jackson's own message may hold a value; the path to it does not. */
  private static String where(JsonProcessingException e) {
    return e instanceof JsonMappingException mapping && !mapping.getPath().isEmpty()
        ? ", does not at " + mapping.getPathReference()
        : "";
  }

  @Override
  public boolean equals(@Nullable Object other) {
    return other instanceof Json json
        && (text.equals(json.text) || parsed().equals(Json::compare, json.parsed()));
  }

  /** 100, 1e2 and 100.0 are one number. */
  private static int compare(JsonNode one, JsonNode other) {
    if (one.isNumber() && other.isNumber()) {
      return one.decimalValue().compareTo(other.decimalValue());
    }
    return one.equals(other) ? 0 : 1;
  }

  @Override
  public int hashCode() {
    int hash = 0;
    for (Iterator<String> names = parsed().fieldNames(); names.hasNext(); ) {
      hash += names.next().hashCode();
    }
    return hash;
  }

  /** Says how long it is, never what it holds: payloads do not belong in logs. */
  @Override
  public String toString() {
    return "Json[" + text.length() + " characters]";
  }
}
