package dev.cortex.events.daemon;

import dev.cortex.events.command.InvalidCommandException;
import dev.cortex.events.command.SettingsFile;
import dev.cortex.events.command.TrustedFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The daemons that an operator has laid out as files: {@code NAME.properties} for each, with at
 * least its {@code command}. Whoever can write such a file runs programs as the supervisor's user,
 * so files, programs and all directories above them may be written by their owner only, who is root
 * or that user; anything else is refused.
 */
public final class DaemonDirectory {
  private static final String SUFFIX = ".properties";
  private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9-]{0,63}");
  private static final String COMMAND = "command";

  /** argument.1, argument.2 and so on: one each, blanks included. */
  private static final Pattern ARGUMENT = Pattern.compile("argument\\.([1-9][0-9]?)");

  private static final TreeSet<String> SETTINGS =
      new TreeSet<>(
          List.of(
              COMMAND,
              "argument.N",
              "directory",
              "environment",
              "restart",
              "restart_limit",
              "stop_seconds"));

  private final Path directory;

  private DaemonDirectory(Path directory) {
    this.directory = directory;
  }

  /** A directory that need not be there: then it has no daemons. */
  public static DaemonDirectory at(Path directory) {
    return new DaemonDirectory(directory.toAbsolutePath().normalize());
  }

  /** Where it is. */
  public Path path() {
    return directory;
  }

  /** Whether a daemon may be called so. */
  public static boolean isName(String name) {
    return NAME.matcher(name).matches();
  }

  /** The names of the daemons in it, whatever is in their files and wherever a link leads. */
  public List<String> names() {
    if (!Files.isDirectory(directory)) {
      return List.of();
    }
    try (Stream<Path> files = Files.list(directory)) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(file -> file.endsWith(SUFFIX))
          .map(file -> file.substring(0, file.length() - SUFFIX.length()))
          .filter(DaemonDirectory::isName)
          .sorted()
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * One daemon.
   *
   * @return empty when there is no file of this name
   * @throws InvalidCommandException when it is not as it has to be
   */
  public Optional<DaemonDefinition> find(String name) {
    Path file = directory.resolve(name + SUFFIX);
    if (!isName(name) || !Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
      return Optional.empty();
    }
    if (!Files.isRegularFile(file)) {
      throw new InvalidCommandException(file, "must be a file, or a link that leads to one");
    }
    try {
      return Optional.of(definition(name, SettingsFile.read(file)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static DaemonDefinition definition(String name, SettingsFile file) throws IOException {
    Map<String, String> given = file.settings();
    List<String> command = command(file, given);
    Path program = Path.of(command.get(0));
    if (!program.isAbsolute() || !Files.isRegularFile(program) || !Files.isExecutable(program)) {
      throw file.refused(
          "command must be the absolute path of a program that this user may execute, was "
              + program);
    }
    TrustedFile.require(program);
    RestartPolicy defaults = RestartPolicy.defaults();
    RestartPolicy.When when =
        setting(file, given, "restart", RestartPolicy.When::of).orElse(defaults.when());
    Optional<RestartPolicy> limited =
        setting(
            file,
            given,
            "restart_limit",
            value -> new RestartPolicy(when, Integer.parseInt(value)));
    RestartPolicy restarts = limited.orElse(new RestartPolicy(when, defaults.limit()));
    List<String> environment =
        setting(file, given, "environment", SettingsFile::words).orElse(List.of());
    Path directory =
        setting(file, given, "directory", DaemonDirectory::workingDirectory).orElse(Path.of("/"));
    String stop = given.remove("stop_seconds");
    for (String unknown : given.keySet()) {
      throw file.refused("may set " + String.join(", ", SETTINGS) + ", sets " + unknown);
    }
    return file.checked(
        "stop_seconds",
        stop == null ? Long.toString(DaemonDefinition.STOP_TIME.toSeconds()) : stop,
        value ->
            new DaemonDefinition(
                name,
                command,
                directory,
                Set.copyOf(environment),
                restarts,
                Duration.ofSeconds(Long.parseLong(value))));
  }

  /** The program and its arguments, which are numbered without a gap. */
  private static List<String> command(SettingsFile file, Map<String, String> given) {
    @Nullable String program = given.remove(COMMAND);
    if (program == null) {
      throw file.refused("must say which command it is");
    }
    TreeMap<Integer, String> arguments = new TreeMap<>();
    for (String key : List.copyOf(given.keySet())) {
      var number = ARGUMENT.matcher(key);
      if (number.matches()) {
        arguments.put(Integer.valueOf(number.group(1)), String.valueOf(given.remove(key)));
      }
    }
    if (!arguments.isEmpty() && arguments.lastKey() != arguments.size()) {
      throw file.refused("must number its arguments from 1 on, without a gap");
    }
    List<String> command = new ArrayList<>(List.of(program));
    command.addAll(arguments.values());
    return command;
  }

  private static <T> Optional<T> setting(
      SettingsFile file, Map<String, String> given, String key, Function<String, T> meaning) {
    @Nullable String value = given.remove(key);
    return value == null ? Optional.empty() : Optional.of(file.checked(key, value, meaning));
  }

  private static Path workingDirectory(String value) {
    Path path = Path.of(value);
    if (!path.isAbsolute() || !Files.isDirectory(path)) {
      throw new IllegalArgumentException("must be the absolute path of a directory, was " + value);
    }
    return path;
  }
}
