package dev.cortex.events.cli;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** This program, to be run as another process. */
final class JavaProgram {
  private JavaProgram() {}

  /** The same Java and the same classes with other arguments. */
  static List<String> command(List<String> javaOptions, String... arguments) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(javaOptions);
    command.add("-cp");
    command.add(System.getProperty("java.class.path"));
    command.add(Main.class.getName());
    command.addAll(List.of(arguments));
    return command;
  }
}
