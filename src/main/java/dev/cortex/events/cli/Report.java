package dev.cortex.events.cli;

import com.fasterxml.jackson.databind.json.JsonMapper;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Rows with named columns: an aligned table for people, one JSON array for machines. A value is a
 * text, a number, a truth, a moment, a list of texts, or an optional one of those.
 */
final class Report<T> {
  private static final JsonMapper JSON = new JsonMapper();
  private static final DateTimeFormatter MOMENT =
      DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss'Z'").withZone(ZoneOffset.UTC);
  private static final String GAP = "  ";

  private record Column<T>(String name, Function<T, ?> value) {}

  private final List<Column<T>> columns;

  private Report(List<Column<T>> columns) {
    this.columns = List.copyOf(columns);
  }

  static <T> Report<T> of(String name, Function<T, ?> value) {
    return new Report<>(List.of(new Column<>(name, value)));
  }

  /** With one more column; the name is that of the JSON member, such as {@code oldest_due}. */
  Report<T> with(String name, Function<T, ?> value) {
    List<Column<T>> more = new ArrayList<>(columns);
    more.add(new Column<>(name, value));
    return new Report<>(more);
  }

  /** One JSON document, one row to a line. */
  String json(List<T> rows) {
    if (rows.isEmpty()) {
      return "[]";
    }
    return rows.stream().map(this::json).collect(Collectors.joining(",\n ", "[\n ", "\n]"));
  }

  private String json(T row) {
    Map<String, @Nullable Object> members = new LinkedHashMap<>();
    for (Column<T> column : columns) {
      members.put(column.name(), plain(column.value().apply(row)));
    }
    return json(members);
  }

  /** A map of plain values as JSON on one line. */
  static String json(Map<String, ? extends @Nullable Object> members) {
    return JSON.valueToTree(members).toString();
  }

  private static @Nullable Object plain(Object value) {
    if (value instanceof Optional<?> optional) {
      return optional.isPresent() ? plain(optional.get()) : null;
    }
    return value instanceof Instant ? value.toString() : value;
  }

  /** A heading and the rows, every column as wide as its widest value; numbers to the right. */
  String table(List<T> rows) {
    List<List<String>> lines = new ArrayList<>();
    lines.add(columns.stream().map(column -> heading(column.name())).toList());
    for (T row : rows) {
      lines.add(columns.stream().map(column -> text(column.value().apply(row))).toList());
    }
    return lines.stream().map(line -> aligned(line, lines, rows)).collect(Collectors.joining("\n"));
  }

  private String aligned(List<String> line, List<List<String>> lines, List<T> rows) {
    StringBuilder aligned = new StringBuilder();
    for (int i = 0; i < line.size(); i++) {
      int column = i;
      int width = lines.stream().mapToInt(cells -> width(cells.get(column))).max().orElse(0);
      String space = " ".repeat(width - width(line.get(i)));
      aligned.append(i == 0 ? "" : GAP);
      aligned.append(isNumeric(i, rows) ? space + line.get(i) : line.get(i) + space);
    }
    return aligned.toString().stripTrailing();
  }

  private boolean isNumeric(int column, List<T> rows) {
    return !rows.isEmpty() && columns.get(column).value().apply(rows.get(0)) instanceof Number;
  }

  private static int width(String cell) {
    return cell.codePointCount(0, cell.length());
  }

  private static String heading(String name) {
    return name.replace('_', ' ').toUpperCase(java.util.Locale.ROOT);
  }

  private static String text(Object value) {
    if (value instanceof Optional<?> optional) {
      return optional.isPresent() ? text(optional.get()) : "-";
    }
    if (value instanceof Instant moment) {
      return moment(moment);
    }
    if (value instanceof Boolean truth) {
      return truth ? "yes" : "no";
    }
    if (value instanceof List<?> list) {
      return list.stream().map(Report::text).collect(Collectors.joining(", "));
    }
    return Inert.line(String.valueOf(value));
  }

  /** A moment for people: UTC, to the second. */
  static String moment(Instant moment) {
    return MOMENT.format(moment);
  }
}
