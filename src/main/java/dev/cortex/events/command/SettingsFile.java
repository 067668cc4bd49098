package dev.cortex.events.command;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import java.util.function.Function;

/** A properties file that an operator has written, which nobody else can change. */
public final class SettingsFile {
  private final Path file;
  private final Map<String, String> settings;

  private SettingsFile(Path file, Map<String, String> settings) {
    this.file = file;
    this.settings = settings;
  }

  /**
   * Reads one.
   *
   * @throws InvalidCommandException when it is none, or when others may write it
   */
  public static SettingsFile read(Path file) throws IOException {
    TrustedFile.require(file);
    Properties properties = new Properties();
    try (Reader reader = Files.newBufferedReader(file)) {
      properties.load(reader);
    } catch (IllegalArgumentException e) {
      throw new InvalidCommandException(file, "must be a properties file");
    }
    Map<String, String> settings = new LinkedHashMap<>();
    for (String key : new TreeSet<>(properties.stringPropertyNames())) {
      settings.put(key, properties.getProperty(key).strip());
    }
    return new SettingsFile(file, settings);
  }

  /** One that is not there and sets nothing. */
  static SettingsFile empty(Path file) {
    return new SettingsFile(file, Map.of());
  }

  /** What it sets, by name; a copy of the caller's own. */
  public Map<String, String> settings() {
    return new LinkedHashMap<>(settings);
  }

  /** What a value means; an error names the file, the setting and the rule. */
  public <T> T checked(String key, String value, Function<String, T> meaning) {
    try {
      return meaning.apply(value);
    } catch (NumberFormatException e) {
      throw refused(key + " must be a number, was " + value);
    } catch (IllegalArgumentException e) {
      throw refused(key + ": " + e.getMessage());
    }
  }

  /** The error to throw for what this file sets. */
  public InvalidCommandException refused(String rule) {
    return new InvalidCommandException(file, rule);
  }

  /** A list, separated by blanks or commas. */
  public static List<String> words(String value) {
    return value.isBlank() ? List.of() : List.of(value.strip().split("[\\s,]+"));
  }
}
