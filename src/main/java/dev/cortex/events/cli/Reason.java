package dev.cortex.events.cli;

import picocli.CommandLine.Option;

/** Why an operator does what changes something. */
final class Reason {
  @Option(
      names = "--reason",
      required = true,
      paramLabel = "TEXT",
      description = "Why; recorded with your login.")
  private String text;

  String text() {
    return text;
  }
}
