package dev.cortex.events.command;

import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.RetryPolicy;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BiFunction;
import java.util.function.Consumer;
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
 * <p>What is none of these, such as a {@code README} or a directory of what the programs share, is
 * passed over: a directory, or a file that is not executable and that no properties file or name
 * makes a handler.
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
          "on",
              (definition, value) ->
                  definition.on(SettingsFile.words(value).toArray(String[]::new)),
          "time_budget_seconds", (definition, value) -> definition.withTimeBudget(seconds(value)),
          "lease_seconds", (definition, value) -> definition.withLease(seconds(value)),
          "max_running", (definition, value) -> definition.withMaxRunning(Integer.parseInt(value)),
          "max_attempts", retry((policy, value) -> policy.withMaxAttempts(Integer.parseInt(value))),
          "max_age_seconds", retry((policy, value) -> policy.withMaxAge(seconds(value))),
          "retry_seconds", retry((policy, value) -> policy.withDelayList(delays(value))));

  private static Setting retry(BiFunction<RetryPolicy, String, RetryPolicy> change) {
    return (definition, value) -> definition.withRetry(change.apply(definition.retry(), value));
  }

  /** Which variables of the worker's environment the program gets. */
  private static final String ENVIRONMENT = "environment";

  private CommandDirectory() {}

  /**
   * Reads a directory.
   *
   * @param spool where what the programs emit waits while the database is away: the one that the
   *     worker drains
   * @param passedOver told of what is no program
   * @return a definition for each program, in the order of their names
   * @throws InvalidCommandException when a file is not as it has to be
   * @throws UncheckedIOException when one cannot be read
   */
  public static List<HandlerDefinition> read(
      Path directory, Path spool, Consumer<Path> passedOver) {
    try {
      TrustedFile.require(directory);
      Map<String, Path> programs = new LinkedHashMap<>();
      for (Path file : files(directory.toRealPath())) {
        if (isNoProgram(file)) {
          passedOver.accept(file);
        } else if (!file.toString().endsWith(PROPERTIES)) {
          Path twin = programs.put(stem(file), file);
          if (twin != null) {
            throw new InvalidCommandException(file, "must not share its name with " + twin);
          }
        }
      }
      SettingsFile table = table(directory.toRealPath());
      OldHandlers old = OldHandlers.of(table.settings());
      List<HandlerDefinition> definitions = new ArrayList<>();
      for (Map.Entry<String, Path> program : programs.entrySet()) {
        definitions.add(definition(program.getKey(), program.getValue(), table, old, spool));
      }
      return definitions;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** What the operator says of old handlers; nothing where there is no such file. */
  private static SettingsFile table(Path directory) throws IOException {
    Path table = directory.resolve(OldHandlers.TABLE);
    return Files.exists(table) ? SettingsFile.read(table) : SettingsFile.empty(table);
  }

  private static List<Path> files(Path directory) throws IOException {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries
          .filter(entry -> !entry.getFileName().toString().startsWith("."))
          .sorted()
          .toList();
    }
  }

  private static boolean isNoProgram(Path file) {
    boolean isMeantAsOne =
        Files.isExecutable(file)
            || file.toString().endsWith(PROPERTIES)
            || OldHandlers.isOne(stem(file))
            || Files.exists(file.resolveSibling(stem(file) + PROPERTIES));
    return Files.isDirectory(file) || !isMeantAsOne;
  }

  private static String stem(Path file) {
    String name = file.getFileName().toString();
    int dot = name.lastIndexOf('.');
    return dot > 0 ? name.substring(0, dot) : name;
  }

  private static HandlerDefinition definition(
      String file, Path program, SettingsFile table, OldHandlers old, Path spool)
      throws IOException {
    TrustedFile.require(program);
    if (!Files.isRegularFile(program) || !Files.isExecutable(program)) {
      throw new InvalidCommandException(program, "must be a program that this user may execute");
    }
    Path settings = program.resolveSibling(file + PROPERTIES);
    if (Files.exists(settings)) {
      SettingsFile own = SettingsFile.read(settings);
      return definition(file, handler(program, own.settings(), spool), own, own.settings());
    }
    if (!OldHandlers.isOne(file)) {
      throw new InvalidCommandException(
          program, "must have " + settings.getFileName() + " beside it");
    }
    Map<String, String> given = old.settings(file);
    return definition(old.handler(file), handler(program, given, spool), table, given);
  }

  private static CommandHandler handler(Path program, Map<String, String> given, Path spool) {
    String environment = given.get(ENVIRONMENT);
    return CommandHandler.of(program)
        .withEnvironment(environment == null ? Set.of() : SettingsFile.words(environment))
        .withSpool(spool);
  }

  private static HandlerDefinition definition(
      String name, CommandHandler handler, SettingsFile file, Map<String, String> given) {
    Map<String, String> others = new LinkedHashMap<>(given);
    others.remove(ENVIRONMENT);
    if (!others.containsKey("on")) {
      throw file.refused("must say which events the program is on");
    }
    HandlerDefinition definition =
        file.checked("name", name, value -> HandlerDefinition.leased(value, handler));
    for (Map.Entry<String, String> one : others.entrySet()) {
      definition = apply(file, definition, one.getKey(), one.getValue());
    }
    return definition;
  }

  private static HandlerDefinition apply(
      SettingsFile file, HandlerDefinition definition, String key, String value) {
    Setting setting = SETTINGS.get(key);
    if (setting == null) {
      throw file.refused(
          "may set "
              + String.join(", ", new TreeSet<>(SETTINGS.keySet()))
              + " and "
              + ENVIRONMENT
              + ", sets "
              + key);
    }
    return file.checked(key, value, given -> setting.apply(definition, given));
  }

  private static Duration[] delays(String value) {
    return SettingsFile.words(value).stream()
        .map(CommandDirectory::seconds)
        .toArray(Duration[]::new);
  }

  private static Duration seconds(String value) {
    return Duration.ofSeconds(Long.parseLong(value));
  }
}
