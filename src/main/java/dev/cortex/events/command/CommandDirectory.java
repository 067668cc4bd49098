package dev.cortex.events.command;

import dev.cortex.events.handler.HandlerDefinition;
import java.io.IOException;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Handlers that an operator has laid out as files: for each program, {@code NAME} or {@code
 * NAME.sh}, a file {@code NAME.properties} beside it that says at least which events it is {@code
 * on}. The handler is called {@code NAME}.
 *
 * <p>Programs {@code on-*} need no such file: {@link OldHandlers} knows what they are on by their
 * names, as Cortex's dispatcher did, and {@code handlers.properties} in the directory says
 * otherwise.
 *
 * <p>A directory or a file that others than its owner may write is refused, and so is one that
 * belongs to neither this process's user nor root: whoever can write it could run programs as the
 * worker.
 */
public final class CommandDirectory {
  private static final String PROPERTIES = ".properties";

  /** What each setting of a properties file does to a definition. */
  private interface Setting {
    HandlerDefinition apply(HandlerDefinition definition, String value);
  }

  private static final Map<String, Setting> SETTINGS =
      Map.of(
          "on", (definition, value) -> definition.on(words(value)),
          "time_budget_seconds", (definition, value) -> definition.withTimeBudget(seconds(value)),
          "lease_seconds", (definition, value) -> definition.withLease(seconds(value)),
          "max_running", (definition, value) -> definition.withMaxRunning(Integer.parseInt(value)),
          "max_attempts",
              (definition, value) ->
                  definition.withRetry(
                      definition.retry().withMaxAttempts(Integer.parseInt(value))));

  /** Which variables of the worker's environment the program gets. */
  private static final String ENVIRONMENT = "environment";

  private CommandDirectory() {}

  /**
   * Reads a directory.
   *
   * @return a definition for each program, in the order of their names
   * @throws InvalidCommandException when a file is not as it has to be
   * @throws UncheckedIOException when one cannot be read
   */
  public static List<HandlerDefinition> read(Path directory) {
    try {
      TrustedFile.require(directory);
      Map<String, Path> programs = new LinkedHashMap<>();
      for (Path file : files(directory.toRealPath())) {
        if (!file.toString().endsWith(PROPERTIES)) {
          Path twin = programs.put(stem(file), file);
          if (twin != null) {
            throw new InvalidCommandException(file, "must not share its name with " + twin);
          }
        }
      }
      OldHandlers old = OldHandlers.of(table(directory.toRealPath()));
      List<HandlerDefinition> definitions = new ArrayList<>();
      for (Map.Entry<String, Path> program : programs.entrySet()) {
        definitions.add(definition(program.getKey(), program.getValue(), old));
      }
      return definitions;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** What the operator says of old handlers; nothing where there is no such file. */
  private static Map<String, String> table(Path directory) throws IOException {
    Path table = directory.resolve(OldHandlers.TABLE);
    if (!Files.exists(table)) {
      return Map.of();
    }
    TrustedFile.require(table);
    return given(table);
  }

  private static List<Path> files(Path directory) throws IOException {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries
          .filter(entry -> !entry.getFileName().toString().startsWith("."))
          .sorted()
          .toList();
    }
  }

  private static String stem(Path file) {
    String name = file.getFileName().toString();
    int dot = name.lastIndexOf('.');
    return dot > 0 ? name.substring(0, dot) : name;
  }

  private static HandlerDefinition definition(String file, Path program, OldHandlers old)
      throws IOException {
    TrustedFile.require(program);
    if (!Files.isRegularFile(program) || !Files.isExecutable(program)) {
      throw new InvalidCommandException(program, "must be a program that this user may execute");
    }
    Path settings = program.resolveSibling(file + PROPERTIES);
    if (Files.exists(settings)) {
      TrustedFile.require(settings);
      return definition(file, program, settings, given(settings));
    }
    if (!OldHandlers.isOne(file)) {
      throw new InvalidCommandException(
          program, "must have " + settings.getFileName() + " beside it");
    }
    Path table = program.resolveSibling(OldHandlers.TABLE);
    return definition(old.handler(file), program, table, old.settings(file));
  }

  private static HandlerDefinition definition(
      String name, Path program, Path settings, Map<String, String> given) {
    Map<String, String> others = new LinkedHashMap<>(given);
    String environment = others.remove(ENVIRONMENT);
    CommandHandler handler =
        CommandHandler.of(program)
            .withEnvironment(environment == null ? Set.of() : List.of(words(environment)));
    if (!others.containsKey("on")) {
      throw new InvalidCommandException(settings, "must say which events the program is on");
    }
    HandlerDefinition definition =
        checked(settings, "name", name, value -> HandlerDefinition.leased(value, handler));
    for (Map.Entry<String, String> one : others.entrySet()) {
      definition = apply(settings, definition, one.getKey(), one.getValue());
    }
    return definition;
  }

  private static Map<String, String> given(Path settings) throws IOException {
    Properties properties = new Properties();
    try (Reader reader = Files.newBufferedReader(settings)) {
      properties.load(reader);
    } catch (IllegalArgumentException e) {
      throw new InvalidCommandException(settings, "must be a properties file");
    }
    Map<String, String> given = new LinkedHashMap<>();
    for (String key : new TreeSet<>(properties.stringPropertyNames())) {
      given.put(key, properties.getProperty(key).strip());
    }
    return given;
  }

  private static HandlerDefinition apply(
      Path settings, HandlerDefinition definition, String key, String value) {
    Setting setting = SETTINGS.get(key);
    if (setting == null) {
      throw new InvalidCommandException(
          settings,
          "may set "
              + String.join(", ", new TreeSet<>(SETTINGS.keySet()))
              + " and "
              + ENVIRONMENT
              + ", sets "
              + key);
    }
    return checked(settings, key, value, given -> setting.apply(definition, given));
  }

  private static HandlerDefinition checked(
      Path settings, String key, String value, Function<String, HandlerDefinition> work) {
    try {
      return work.apply(value);
    } catch (NumberFormatException e) {
      throw new InvalidCommandException(settings, key + " must be a number, was " + value);
    } catch (IllegalArgumentException e) {
      throw new InvalidCommandException(settings, key + ": " + e.getMessage());
    }
  }

  private static String[] words(String value) {
    return value.strip().split("[\\s,]+");
  }

  private static Duration seconds(String value) {
    return Duration.ofSeconds(Long.parseLong(value));
  }
}
