package dev.cortex.events.outbox;

import dev.cortex.events.event.InvalidEventException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Arrays;

/** Keeps what is no event, with its origin, the reason and its bytes; the same bytes once. */
public final class Quarantine {
  /** How much of an input is kept, in bytes. */
  static final int KEPT_BYTES = 1024 * 1024;

  /**
   * Keeps what is no event, once. Parameters: origin, reason, detail, the first mebibyte, the size
   * in bytes, SHA-256 of all of it, which counts where only a part is kept. Result: whether it was
   * not kept before. Needs EXECUTE only. Locks: waits for another one that keeps the same bytes.
   */
  private static final String KEEP = "select cortex.quarantine(?, ?, ?, ?, ?, ?)";

  private final Connection connection;

  /** In the transaction of this connection, of which this is not the owner. */
  public Quarantine(Connection connection) {
    this.connection = connection;
  }

  /**
   * Keeps all of an input.
   *
   * @param origin where it came from, such as a file and a line
   * @param refusal what is wrong with it
   * @return whether it was not kept before
   */
  public boolean keep(String origin, InvalidEventException refusal, byte[] bytes)
      throws SQLException {
    return keep(origin, refusal, new Document(1, bytes, bytes.length, sha256().digest(bytes)));
  }

  boolean keep(String origin, InvalidEventException refusal, Document document)
      throws SQLException {
    byte[] bytes = document.bytes();
    try (PreparedStatement statement = connection.prepareStatement(KEEP)) {
      statement.setString(1, origin);
      statement.setString(2, refusal.defect().label());
      statement.setString(3, refusal.field() + " " + refusal.rule());
      statement.setBytes(4, Arrays.copyOf(bytes, Math.min(bytes.length, KEPT_BYTES)));
      statement.setLong(5, document.size());
      statement.setBytes(6, document.digest());
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getBoolean(1);
      }
    }
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }
}
