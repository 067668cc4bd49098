package dev.cortex.events.cli;

import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Why an operator does what changes something. */
final class Reason {
  private static final int MAX_LENGTH = 1000;

  @Spec(Spec.Target.MIXEE)
  private CommandSpec command;

  private String text = "";

  @Option(
      names = "--reason",
      required = true,
      paramLabel = "TEXT",
      description = "Why; recorded with your login.")
  void give(String given) {
    text = checked(command, given);
  }

  String text() {
    return text;
  }

  /** A reason that the database will take, by its own rule; any other is a wrong call. */
  static String checked(CommandSpec command, String given) {
    String said = given.replaceAll("^ +| +$", "");
    if (said.isEmpty() || said.codePointCount(0, said.length()) > MAX_LENGTH) {
      throw new ParameterException(
          command.commandLine(), "--reason must have 1 to " + MAX_LENGTH + " characters");
    }
    return given;
  }
}
