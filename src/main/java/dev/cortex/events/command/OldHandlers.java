package dev.cortex.events.command;

import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;

/**
 * What Cortex's handlers are on, by the names of their files. A table knows the names that the old
 * dispatcher knew; any other {@code on-a-b-c} is on {@code a.b_c}. The operator's table comes
 * first. In it a value is types and families, or the name of a handler whose other implementation
 * the program is; a key that is no file's is a setting of all of them.
 */
final class OldHandlers {
  static final String TABLE = "handlers.properties";
  private static final String PREFIX = "on-";

  private final Map<String, String> table;

  private OldHandlers(Map<String, String> table) {
    this.table = table;
  }

  /** With the operator's table. */
  static OldHandlers of(Map<String, String> given) throws IOException {
    Properties known = new Properties();
    try (InputStream in = OldHandlers.class.getResourceAsStream(TABLE)) {
      if (in == null) {
        throw new IOException("no resource " + TABLE);
      }
      known.load(new InputStreamReader(in, StandardCharsets.UTF_8));
    }
    Map<String, String> table = new TreeMap<>();
    known.stringPropertyNames().forEach(name -> table.put(name, known.getProperty(name)));
    table.putAll(given);
    return new OldHandlers(table);
  }

  static boolean isOne(String file) {
    return file.matches("on-[a-z0-9]+(-[a-z0-9]+)+");
  }

  /** The name of the handler that a file implements: mostly its own. */
  String handler(String file) {
    String value = table.getOrDefault(file, file);
    return isHandler(value) ? value : file;
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
    String value = table.getOrDefault(file, file);
    settings.put("on", isHandler(value) ? events(file) : value);
    return settings;
  }

  /** The rule for names that no table has: on-worker-started-late is worker.started_late. */
  private static String events(String file) {
    String name = file.substring(PREFIX.length());
    int family = name.indexOf('-');
    return name.substring(0, family) + "." + name.substring(family + 1).replace('-', '_');
  }

  /** A type has a dot, or stands for all. */
  private static boolean isHandler(String value) {
    return value.matches("[a-z0-9]+(-[a-z0-9]+)*");
  }
}
