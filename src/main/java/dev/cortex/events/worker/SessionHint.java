package dev.cortex.events.worker;

import java.util.Optional;
import java.util.regex.Pattern;

/** What the text of a statement says of what it may leave behind in its session. */
enum SessionHint {
  /** Something that a look finds, if it is there. */
  LOOK,
  /** A setting of the user's own, for the session, which the server does not list. */
  OWN_SETTING;

  private static final Pattern LEAVES_OWN_SETTING =
      Pattern.compile(
          """
          (?:^|;)\\s*set\\s+(?:session\\s+)?[a-z_]\\w*\\.
          | set_config\\s*\\(\\s*'[a-z_]\\w*\\.(?!.*\\btrue\\s*\\))
          """,
          Pattern.CASE_INSENSITIVE | Pattern.DOTALL | Pattern.COMMENTS);

  private static final Pattern LEAVES_SOMETHING =
      Pattern.compile(
          """
          (?:^|;)\\s*(?:
              set\\s+(?!local\\b|transaction\\b|constraints\\b)
            | reset\\b | listen\\b | prepare\\b
            | create\\s+(?:local\\s+|global\\s+)?temp(?!.*\\bon\\s+commit\\s+drop\\b)
            | declare\\b.*\\bwith\\s+hold\\b )
          | advisory_lock
          | set_config\\s*\\((?!.*\\btrue\\s*\\))
          """,
          Pattern.CASE_INSENSITIVE | Pattern.DOTALL | Pattern.COMMENTS);

  static Optional<SessionHint> of(String sql) {
    if (!LEAVES_SOMETHING.matcher(sql).find()) {
      return Optional.empty();
    }
    return Optional.of(LEAVES_OWN_SETTING.matcher(sql).find() ? OWN_SETTING : LOOK);
  }
}
