package dev.cortex.events.delivery;

import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Set;
import java.util.TreeSet;

/** The questions about a session itself. Stateless and thread-safe. */
public final class SessionStore {

  private static final String STATE = "select cortex.session_identity(), cortex.session_settings()";

  private static final String LEFTOVERS = "select cortex.session_leftovers()";

  /** What the session is like now, within its transaction. */
  public SessionState state(Connection connection) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(STATE);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return new SessionState(row.getString(1), row.getString(2));
    }
  }

  /** What outlives a transaction in the session, in words. */
  public Set<String> leftovers(Connection connection) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(LEFTOVERS);
        ResultSet row = statement.executeQuery()) {
      row.next();
      Array words = row.getArray(1);
      return new TreeSet<>(Set.of((String[]) words.getArray()));
    }
  }
}
