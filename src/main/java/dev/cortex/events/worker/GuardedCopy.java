package dev.cortex.events.worker;

import java.sql.SQLException;
import org.postgresql.copy.CopyDual;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;
import org.postgresql.copy.CopyOut;
import org.postgresql.core.BaseConnection;

/** COPY as a handler sees it: what it is given is sent as it is, so it is looked at before. */
final class GuardedCopy extends CopyManager {

  /** Throws where a text may not be sent. */
  @FunctionalInterface
  interface Check {
    void of(String sql) throws SQLException;
  }

  private final Check check;

  GuardedCopy(BaseConnection connection, Check check) throws SQLException {
    super(connection);
    this.check = check;
  }

  @Override
  public CopyIn copyIn(String sql) throws SQLException {
    check.of(sql);
    return super.copyIn(sql);
  }

  @Override
  public CopyOut copyOut(String sql) throws SQLException {
    check.of(sql);
    return super.copyOut(sql);
  }

  @Override
  public CopyDual copyDual(String sql) throws SQLException {
    throw new SQLException(
        "a handler may not call copyDual: replicate by a connection of your own",
        RefusedCall.STATE);
  }
}
