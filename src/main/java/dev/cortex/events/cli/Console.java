package dev.cortex.events.cli;

import java.io.InputStream;
import java.io.PrintWriter;
import java.util.List;
import java.util.Map;

/**
 * What a command reads and writes.
 *
 * @param in read by commands that are told to, with {@code -}
 * @param out answers, and nothing else
 * @param err errors, progress and remarks
 * @param isTerminal whether a person reads {@code out} as it is written
 * @param environment the variables that may name a database
 */
record Console(
    InputStream in,
    PrintWriter out,
    PrintWriter err,
    boolean isTerminal,
    Map<String, String> environment) {

  /** A line of an answer. */
  void print(String line) {
    out.println(line);
  }

  /** A remark that is no part of the answer. */
  void remark(String text) {
    remark(List.of(text));
  }

  /** A remark of several lines, of which only the first may look like one of ours. */
  void remark(List<String> lines) {
    out.flush();
    String before = "cortex: ";
    for (String line : lines) {
      err.println(before + Inert.line(line));
      before = "  ";
    }
    err.flush();
  }
}
