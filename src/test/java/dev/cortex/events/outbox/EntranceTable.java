package dev.cortex.events.outbox;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The table of docs/entrances.md: what each entrance does with each defect. */
public final class EntranceTable {
  /** What stands in a cell of something that cannot happen. */
  public static final String IMPOSSIBLE = "—";

  /**
   * One defect.
   *
   * @param defect its name, by which {@link BadEvent} knows a sample
   * @param field the field that a refusal names
   * @param rule how the rule that it names begins
   * @param verdicts what happens, by the heading of the entrance's column
   */
  public record Row(String defect, String field, String rule, Map<String, String> verdicts) {
    /** What the entrance with this heading does. */
    public String verdict(String entrance) {
      return verdicts.getOrDefault(entrance, IMPOSSIBLE);
    }
  }

  private EntranceTable() {}

  /** The rows of the table, in order. */
  public static List<Row> rows() {
    List<List<String>> lines = lines();
    List<String> headings = lines.get(0);
    return lines.stream().skip(2).map(cells -> row(headings, cells)).toList();
  }

  private static List<List<String>> lines() {
    Path document = Path.of(System.getProperty("project.basedir", "."), "docs", "entrances.md");
    try {
      List<List<String>> table = new ArrayList<>();
      for (String line : Files.readAllLines(document)) {
        if (line.startsWith("| Defect") || (line.startsWith("|") && !table.isEmpty())) {
          table.add(cells(line));
        } else if (!table.isEmpty()) {
          break;
        }
      }
      return table;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<String> cells(String line) {
    return Arrays.stream(line.substring(1, line.lastIndexOf('|')).split("\\|", -1))
        .map(String::strip)
        .toList();
  }

  private static Row row(List<String> headings, List<String> cells) {
    Map<String, String> verdicts = new LinkedHashMap<>();
    for (int i = 3; i < headings.size(); i++) {
      verdicts.put(headings.get(i), cells.get(i));
    }
    return new Row(cells.get(0), cells.get(1), cells.get(2), verdicts);
  }
}
