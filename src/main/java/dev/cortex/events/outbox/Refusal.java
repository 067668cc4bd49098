package dev.cortex.events.outbox;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.Defect;
import dev.cortex.events.event.InvalidEventException;
import java.sql.SQLException;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/**
 * Turns a server's refusal of an event into the exception that Java's own checks throw, in the same
 * words. Decides by SQLSTATE, constraint and column, never by message text; a server's message or
 * detail may hold a payload and is not passed on.
 */
final class Refusal {
  private static final String LENGTH = "must have 1 to 200 characters";
  private static final String YEARS = "must be in the years 1 to 9999";
  private static final String OBJECT = "must be a JSON object";

  private record Rule(String field, String words) {}

  /** The CHECKs of cortex.events. */
  private static final Map<String, Rule> CHECKS =
      Map.ofEntries(
          Map.entry("type_is_1_to_200_characters", new Rule("type", LENGTH)),
          Map.entry("source_is_1_to_200_characters", new Rule("source", LENGTH)),
          Map.entry(
              "event_id_has_the_form_evt_date_time_suffix",
              new Rule(
                  "event_id",
                  "must have the form evt_YYYYMMDD_HHMMSS_suffix of at most 100 characters")),
          Map.entry("correlation_id_is_1_to_200_characters", new Rule("correlation_id", LENGTH)),
          Map.entry("causation_id_is_1_to_200_characters", new Rule("causation_id", LENGTH)),
          Map.entry("key_is_1_to_200_characters", new Rule("key", LENGTH)),
          Map.entry("dedupe_key_is_1_to_200_characters", new Rule("dedupe_key", LENGTH)),
          Map.entry("occurred_at_is_in_the_years_1_to_9999", new Rule("occurred_at", YEARS)),
          Map.entry("run_at_is_in_the_years_1_to_9999", new Rule("run_at", YEARS)),
          Map.entry("payload_is_an_object", new Rule("payload", OBJECT)),
          Map.entry("metadata_is_an_object", new Rule("metadata", OBJECT)),
          Map.entry("extensions_is_an_object", new Rule("extensions", OBJECT)),
          Map.entry(
              "priority_is_a_column_not_metadata",
              new Rule("metadata", "may not hold priority, which is a field of the event")));

  /** What the server's input functions refuse before any rule of ours is asked. */
  private static final Map<String, String> INPUT =
      Map.of(
          "22P05", "may not hold the character \\u0000, which PostgreSQL cannot store",
          "22021", "must be valid UTF-8",
          "22P02", "must be valid JSON and known words",
          "22003", "may hold numbers of at most 1000 digits, holds a longer one",
          "22007", "must have times that PostgreSQL can read",
          "22008", "must have times within PostgreSQL's range",
          "54000", "may not be larger than PostgreSQL can store",
          "54001", "may be nested at most 100 deep, is nested deeper");

  private Refusal() {}

  /** The exception to throw for an error of a statement that records events. */
  static CortexException of(SQLException error) {
    return ofEvent(error)
        .map(CortexException.class::cast)
        .orElseGet(() -> new EmitFailedException(error));
  }

  /** The same for a refusal of an event; empty for any other error. */
  static Optional<InvalidEventException> ofEvent(SQLException error) {
    @Nullable String state = error.getSQLState();
    if (state == null
        || !(error instanceof PSQLException refused)
        || refused.getServerErrorMessage() == null) {
      return Optional.empty();
    }
    ServerErrorMessage server = refused.getServerErrorMessage();
    @Nullable String column = server.getColumn();
    @Nullable String constraint = server.getConstraint();
    if (column != null && constraint != null) {
      return defectOf(state)
          .map(defect -> raised(defect, column, constraint, server.getDatatype()));
    }
    if (column != null && state.equals("23502")) {
      return Optional.of(new InvalidEventException(Defect.MISSING_FIELD, column, "must be given"));
    }
    if (constraint != null && state.equals("23514")) {
      return Optional.of(checked(constraint));
    }
    return Optional.ofNullable(INPUT.get(state))
        .map(words -> new InvalidEventException(Defect.INVALID_FIELD, "event", words));
  }

  /** Raised by cortex.refuse, which says what the fields of the error mean. */
  private static InvalidEventException raised(
      Defect defect, String field, String rule, @Nullable String value) {
    return value == null || value.isEmpty()
        ? new InvalidEventException(defect, field, rule)
        : new InvalidEventException(defect, field, rule, value);
  }

  /** A CHECK that an operator has added is named as a fact too, and its name is the best word. */
  private static InvalidEventException checked(String constraint) {
    @Nullable Rule rule = CHECKS.get(constraint);
    return rule == null
        ? new InvalidEventException("event", "must satisfy: " + constraint.replace('_', ' '))
        : new InvalidEventException(rule.field(), rule.words());
  }

  private static Optional<Defect> defectOf(String state) {
    return Optional.ofNullable(
        switch (state) {
          case "23502" -> Defect.MISSING_FIELD;
          case "23503" -> Defect.UNKNOWN_TYPE;
          case "23505" -> Defect.CONFLICT;
          case "23514" -> Defect.INVALID_FIELD;
          case "54000" -> Defect.TOO_LARGE;
          default -> null;
        });
  }
}
