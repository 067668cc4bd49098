package dev.cortex.events.worker;

import java.sql.SQLException;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.postgresql.core.NativeQuery;
import org.postgresql.core.Parser;

/**
 * Finds the command in a text of SQL that would end the transaction, begin another or change its
 * mode: COMMIT, END, ROLLBACK, ABORT, BEGIN, START TRANSACTION, PREPARE TRANSACTION, SET
 * TRANSACTION, SET SESSION CHARACTERISTICS. Savepoints are none of them.
 *
 * <p>The text is split by the driver's own parser, since that decides what the server gets as one
 * command. Most texts never come so far: one statement that begins with another word is settled by
 * a look at its beginning and a search for a semicolon.
 */
final class TransactionCommand {
  private static final Set<String> FIRST_WORDS =
      Set.of("abort", "begin", "commit", "end", "prepare", "rollback", "set", "start");

  private static final Set<String> MODES =
      Set.of(
          "transaction",
          "transaction_isolation",
          "transaction_read_only",
          "transaction_deferrable");

  private TransactionCommand() {}

  /**
   * The first such command in the text, as an error names it.
   *
   * @param hasStandardStrings whether a backslash is nothing special to the server; asked only
   *     where the text has to be parsed
   */
  static Optional<String> in(String sql, BooleanSupplier hasStandardStrings) throws SQLException {
    if (isOneOtherStatement(sql)) {
      return Optional.empty();
    }
    boolean isStandard = hasStandardStrings.getAsBoolean();
    String sent = sql.indexOf('{') < 0 ? sql : Parser.replaceProcessing(sql, true, isStandard);
    for (NativeQuery statement : Parser.parseJdbcSql(sent, isStandard, false, true, false, false)) {
      Optional<String> command = new Words(statement.nativeSql).command();
      if (command.isPresent()) {
        return command;
      }
    }
    return Optional.empty();
  }

  /** Without a comment before it, an escape of JDBC's, or a second statement. */
  private static boolean isOneOtherStatement(String sql) {
    int start = 0;
    while (start < sql.length() && Character.isWhitespace(sql.charAt(start))) {
      start++;
    }
    int end = start;
    while (end < sql.length() && Parser.isIdentifierContChar(sql.charAt(end))) {
      end++;
    }
    return end > start
        && !FIRST_WORDS.contains(sql.substring(start, end).toLowerCase(Locale.ROOT))
        && sql.indexOf(';', end) < 0
        && sql.indexOf('{', end) < 0;
  }

  /** The words that a statement begins with, whatever comments stand between them. */
  private static final class Words {
    private final char[] text;
    private int at;

    Words(String text) {
      this.text = text.toCharArray();
    }

    Optional<String> command() {
      String first = next();
      return switch (first) {
        case "abort", "begin", "commit", "end" -> Optional.of(first.toUpperCase(Locale.ROOT));
        case "start" -> Optional.of("START TRANSACTION");
        case "set" -> ofSet();
        case "rollback" -> isToSavepoint() ? Optional.empty() : Optional.of("ROLLBACK");
        case "prepare" ->
            next().equals("transaction") ? Optional.of("PREPARE TRANSACTION") : Optional.empty();
        default -> Optional.empty();
      };
    }

    private Optional<String> ofSet() {
      String word = next();
      while (word.equals("local") || word.equals("session")) {
        word = next();
      }
      if (word.equals("characteristics")) {
        return Optional.of("SET SESSION CHARACTERISTICS");
      }
      return MODES.contains(word) ? Optional.of("SET TRANSACTION") : Optional.empty();
    }

    private boolean isToSavepoint() {
      String second = next();
      boolean isNoise = second.equals("work") || second.equals("transaction");
      return (isNoise ? next() : second).equals("to");
    }

    /** The next word in lower case; empty where something else stands. */
    private String next() {
      skipBlanksAndComments();
      int start = at;
      while (at < text.length && Parser.isIdentifierContChar(text[at])) {
        at++;
      }
      return String.valueOf(text, start, at - start).toLowerCase(Locale.ROOT);
    }

    private void skipBlanksAndComments() {
      while (at < text.length) {
        int end = at;
        if (text[at] == '-') {
          end = Parser.parseLineComment(text, at);
        } else if (text[at] == '/') {
          end = Parser.parseBlockComment(text, at);
        }
        if (end == at && !Character.isWhitespace(text[at])) {
          return;
        }
        at = end + 1;
      }
      at = text.length;
    }
  }
}
