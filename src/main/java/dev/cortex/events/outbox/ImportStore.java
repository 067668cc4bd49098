package dev.cortex.events.outbox;

import dev.cortex.events.event.EventDraft;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** What an import writes. */
final class ImportStore {
  /**
   * Records archived events. Parameters: the thirteen columns, an array each; whether handlers get
   * none of them. Result: how many were new. All or nothing. Needs EXECUTE only. Locks: those of
   * the fan-out.
   */
  private static final String RECORD =
      """
      select cortex.import_events(
        ?::text[], ?::text[], ?::text[]::jsonb[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[]::timestamptz[],
        ?::text[]::timestamptz[], ?::text[]::jsonb[], ?::text[], ?::text[], ?::text[]::jsonb[], ?)
      """;

  /** A table of the session's own, so that a dry run of whatever size needs no memory here. */
  private static final String BEGIN_REHEARSAL =
      "create temporary table if not exists cortex_rehearsed (event_id text primary key, digest text not null)";

  private static final String FORGET_REHEARSALS = "truncate pg_temp.cortex_rehearsed";

  /**
   * Which events have the id of one of the batches before. Parameters: ids, digests. Result: one
   * row per event, in order: null, or whether the content is the same too.
   */
  private static final String REHEARSED =
      """
      select (select r.digest = g.digest from pg_temp.cortex_rehearsed r where r.event_id = g.event_id)
        from unnest(?::text[], ?::text[]) with ordinality g(event_id, digest, place)
       order by g.place
      """;

  private static final String REMEMBER =
      """
      insert into pg_temp.cortex_rehearsed (event_id, digest)
      select g.event_id, g.digest from unnest(?::text[], ?::text[]) g(event_id, digest)
          on conflict do nothing
      """;

  private final Connection connection;

  ImportStore(Connection connection) {
    this.connection = connection;
  }

  /** Records all events or none; returns how many the log did not have. */
  int record(List<EventDraft> drafts, boolean logOnly) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(RECORD)) {
      EventColumn.bindArrays(statement, 1, EventColumn.ALL, drafts);
      statement.setBoolean(EventColumn.ALL.size() + 1, logOnly);
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getInt(1);
      }
    }
  }

  /** Whether an event of a dry run repeats one that it has come past. */
  enum Rehearsed {
    NEW,
    REPETITION,
    CONFLICT
  }

  void beginRehearsal() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(BEGIN_REHEARSAL);
      statement.execute(FORGET_REHEARSALS);
    }
  }

  List<Rehearsed> rehearsed(List<EventDraft> drafts) throws SQLException {
    List<Rehearsed> answers = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement(REHEARSED)) {
      bindRehearsed(statement, drafts);
      try (ResultSet row = statement.executeQuery()) {
        while (row.next()) {
          boolean isSame = row.getBoolean(1);
          answers.add(
              row.wasNull() ? Rehearsed.NEW : isSame ? Rehearsed.REPETITION : Rehearsed.CONFLICT);
        }
      }
    }
    return answers;
  }

  void rememberRehearsed(List<EventDraft> drafts) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(REMEMBER)) {
      bindRehearsed(statement, drafts);
      statement.execute();
    }
  }

  private void bindRehearsed(PreparedStatement statement, List<EventDraft> drafts)
      throws SQLException {
    Object[] ids = drafts.stream().map(draft -> draft.eventId().orElse("")).toArray();
    Object[] digests = drafts.stream().map(ContentDigest::of).toArray();
    statement.setArray(1, connection.createArrayOf("text", ids));
    statement.setArray(2, connection.createArrayOf("text", digests));
  }
}
