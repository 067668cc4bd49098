package dev.cortex.events.cli;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** This program, to be run as another process. */
final class JavaProgram {
  private JavaProgram() {}

  /** The same Java and the same classes with other arguments. */
  static List<String> command(List<String> javaOptions, String... arguments) {
    return command(Main.class, javaOptions, arguments);
  }

  /** The same Java and the same classes, begun at another class. */
  static List<String> command(Class<?> main, List<String> javaOptions, String... arguments) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(javaOptions);
    command.add("-cp");
    command.add(System.getProperty("java.class.path"));
    command.add(main.getName());
    command.addAll(List.of(arguments));
    return command;
  }
}
