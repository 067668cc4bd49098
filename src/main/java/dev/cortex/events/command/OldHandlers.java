package dev.cortex.events.command;

import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What Cortex's handlers are on, by the names of their files. A table knows the names that the old
 * dispatcher knew; any other {@code on-a-b-c} is on {@code a.b_c}. The operator's table comes
 * first. A value is types and families, with or without the name of a handler whose other
 * implementation the program is; a key that is no file's is a setting of all of them.
 */
final class OldHandlers {
  static final String TABLE = "handlers.properties";
  private static final String PREFIX = "on-";

  private final Map<String, String> known;
  private final Map<String, String> table;

  private OldHandlers(Map<String, String> known, Map<String, String> given) {
    this.known = known;
    table = new TreeMap<>(known);
    table.putAll(given);
  }

  /** With the operator's table. */
  static OldHandlers of(Map<String, String> given) throws IOException {
    Properties properties = new Properties();
    try (InputStream in = OldHandlers.class.getResourceAsStream(TABLE)) {
      if (in == null) {
        throw new IOException("no resource " + TABLE);
      }
      properties.load(new InputStreamReader(in, StandardCharsets.UTF_8));
    }
    Map<String, String> known = new TreeMap<>();
    properties.stringPropertyNames().forEach(name -> known.put(name, properties.getProperty(name)));
    return new OldHandlers(known, given);
  }

  static boolean isOne(String file) {
    return file.matches("on-[a-z0-9]+(-[a-z0-9]+)+");
  }

  /** The name of the handler that a file implements: its own where the table names none. */
  String handler(String file) {
    return SettingsFile.words(table.getOrDefault(file, "")).stream()
        .filter(OldHandlers::isHandler)
        .findFirst()
        .orElse(file);
  }

  /** The settings of a file, as a properties file of its own would have them. */
  Map<String, String> settings(String file) {
    Map<String, String> settings = new LinkedHashMap<>();
    table.forEach(
        (key, value) -> {
          if (!key.startsWith(PREFIX)) {
            settings.put(key, value);
          }
        });
    settings.put(
        "on",
        Stream.of(table, known)
            .map(from -> events(from.getOrDefault(file, "")))
            .filter(events -> !events.isEmpty())
            .findFirst()
            .orElseGet(() -> eventsByRule(file)));
    return settings;
  }

  private static String events(String value) {
    return SettingsFile.words(value).stream()
        .filter(word -> !isHandler(word))
        .collect(Collectors.joining(" "));
  }

  /** The rule for names that no table has: on-worker-started-late is worker.started_late. */
  private static String eventsByRule(String file) {
    String name = file.substring(PREFIX.length());
    int family = name.indexOf('-');
    return name.substring(0, family) + "." + name.substring(family + 1).replace('-', '_');
  }

  /** A type has a dot, or stands for all. */
  private static boolean isHandler(String value) {
    return value.matches("[a-z0-9]+(-[a-z0-9]+)*");
  }
}
