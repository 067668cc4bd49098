package dev.cortex.events.spool;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.LeaseCause;
import dev.cortex.events.file.LockedFile;
import dev.cortex.events.outbox.EmitFailedException;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.worker.WorkerOptions;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** What is posted is durable, is delivered once, and never takes part in somebody's transaction. */
@ExtendWith(PostgresExtension.class)
class SpoolTest {
  private static final DataSource AWAY =
      DatabaseAddress.of("postgresql://u:p@127.0.0.1:1/db").dataSource();

  private final TestDatabase database;
  private final DataSource emitter;
  private Path directory;
  private Spool spool;
  private Postbox away;

  SpoolTest(TestDatabase database) {
    this.database = database;
    this.emitter = database.address("cortex_emitter").dataSource();
  }

  @BeforeEach
  void empty(@TempDir Path parent) throws SQLException {
    directory = parent.resolve("spool");
    spool = Spool.at(directory);
    away = Postbox.of(AWAY, spool);
    execute(
        "insert into cortex.event_types (type) values ('task.failed') on conflict do nothing",
        "delete from cortex.events",
        "delete from cortex.dedupe_keys",
        "delete from cortex.quarantined");
  }

  @Test
  void what_is_posted_while_the_database_is_there_is_recorded_and_not_spooled()
      throws SQLException {
    Posted posted = Postbox.of(emitter, spool).post(task(1));
    assertThat(posted.isSpooled()).isFalse();
    assertThat(strings("select event_id from cortex.events")).containsExactly(posted.eventId());
    assertThat(directory).doesNotExist();
  }

  @Test
  void what_is_posted_while_the_database_is_away_is_delivered_once_and_in_order()
      throws SQLException {
    List<String> ids = new ArrayList<>();
    for (int n = 0; n < 1200; n++) {
      Posted posted = away.post(task(n));
      assertThat(posted.isSpooled()).isTrue();
      ids.add(posted.eventId());
    }
    assertThat(spool.status().events()).isEqualTo(1200);
    assertThat(drain()).isEqualTo(new DrainSummary(1200, 0, 0, 0));
    assertThat(strings("select event_id from cortex.events order by id")).isEqualTo(ids);
    assertThat(spool.isEmpty()).isTrue();
    assertThat(drain()).isEqualTo(DrainSummary.NOTHING);
  }

  @Test
  void a_file_that_is_drained_again_doubles_nothing() throws IOException, SQLException {
    Path file = away.post(task(1)).spooledIn().orElseThrow();
    byte[] lines = Files.readAllBytes(file);
    drain();
    Files.write(file, lines);
    assertThat(drain().delivered()).isEqualTo(1);
    assertThat(strings("select id from cortex.events")).hasSize(1);
  }

  @Test
  void an_event_that_may_have_been_recorded_before_the_connection_broke_is_there_once()
      throws SQLException {
    EventDraft draft = task(1).withEventId("evt_20260101_000000_ambiguous");
    Postbox.of(emitter, spool).post(draft);
    away.post(draft);
    drain();
    assertThat(strings("select event_id from cortex.events")).hasSize(1);
  }

  @Test
  void a_callers_failed_transaction_is_not_spooled() throws SQLException {
    try (Connection connection = emitter.getConnection()) {
      connection.setAutoCommit(false);
      new Outbox().emit(connection, task(1));
      terminate(connection);
      assertThatThrownBy(() -> new Outbox().emit(connection, task(2)))
          .isInstanceOf(EmitFailedException.class);
    }
    assertThat(directory).doesNotExist();
    assertThat(strings("select id from cortex.events")).isEmpty();
  }

  @Test
  void what_a_rival_transaction_was_in_the_way_of_is_tried_again() throws SQLException {
    execute(
        "create sequence clashes",
        "grant usage on sequence clashes to public",
        """
        create function clash() returns trigger language plpgsql as $$
        begin
          if nextval('public.clashes') % 5 <> 0 then
            raise deadlock_detected;
          end if;
          return new;
        end $$
        """,
        "create trigger clash before insert on cortex.events for each row execute function clash()");
    try {
      Posted posted = Postbox.of(emitter, spool).post(task(1));
      assertThat(posted.isSpooled()).isFalse();
      assertThat(strings("select event_id from cortex.events")).containsExactly(posted.eventId());
      assertThat(strings("select last_value from clashes")).containsExactly("5");
      execute(
          "create or replace function clash() returns trigger language plpgsql as 'begin raise deadlock_detected; end'");
      assertThatThrownBy(() -> Postbox.of(emitter, spool).post(task(2)))
          .isInstanceOf(EmitFailedException.class);
    } finally {
      execute("drop function clash cascade", "drop sequence clashes");
    }
    assertThat(directory).doesNotExist();
  }

  @Test
  void what_the_database_refuses_is_an_error_at_once() {
    Postbox postbox = Postbox.of(emitter, spool);
    assertThatThrownBy(() -> postbox.post(EventDraft.of("task.faild", "w")))
        .isInstanceOf(InvalidEventException.class)
        .hasMessageContaining("did you mean");
    assertThat(directory).doesNotExist();
  }

  @Test
  void what_the_database_refuses_later_goes_to_the_quarantine_with_its_reason()
      throws SQLException {
    away.post(task(1));
    away.post(EventDraft.of("task.faild", "w"));
    away.post(task(2));
    assertThat(drain()).isEqualTo(new DrainSummary(2, 1, 0, 0));
    assertThat(strings("select reason from cortex.quarantined")).containsExactly("unknown_type");
    assertThat(
            strings(
                "select convert_from(raw, 'UTF8')::jsonb #>> '{event,event_type}' from cortex.quarantined"))
        .containsExactly("task.faild");
    assertThat(spool.isEmpty()).isTrue();
  }

  @Test
  void the_time_the_priority_and_the_cause_survive() throws SQLException {
    String cause = Postbox.of(emitter, spool).post(task(1)).eventId();
    Instant before = Instant.now();
    away.under(new LeaseCause(cause, "some-handler", 1)).post(task(2));
    drain();
    assertThat(
            strings(
                "select concat_ws(' ', causation_id, causation_depth, occurred_at between '%s' and clock_timestamp()) from cortex.events where causation_id is not null"
                    .formatted(before.minusMillis(1))))
        .containsExactly(cause + " 1 t");
  }

  @Test
  void a_torn_line_is_kept_aside_and_what_was_whole_is_delivered()
      throws IOException, SQLException {
    Path file = away.postAll(List.of(task(1), task(2))).get(0).spooledIn().orElseThrow();
    byte[] lines = Files.readAllBytes(file);
    Files.write(file, Arrays.copyOf(lines, lines.length - 20));
    assertThat(drain().left()).as("it may still be written").isEqualTo(1);
    assertThat(strings("select id from cortex.events")).isEmpty();

    Path taken = file.resolveSibling(file.getFileName() + ".draining");
    Files.setLastModifiedTime(taken, FileTime.from(Instant.now().minus(Duration.ofMinutes(1))));
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 1, 0));
    assertThat(strings("select reason from cortex.quarantined")).containsExactly("damaged_line");
    assertThat(spool.status().damagedFiles()).isEqualTo(1);
    assertThat(spool.isEmpty()).isTrue();
  }

  @Test
  void a_torn_file_is_named_with_the_end_of_its_grace() throws IOException {
    Path file = away.post(task(1)).spooledIn().orElseThrow();
    assertThat(spool.status().incomplete()).isEmpty();
    byte[] line = Files.readAllBytes(file);
    Files.write(file, Arrays.copyOf(line, line.length - 1));
    Instant written = Files.getLastModifiedTime(file).toInstant();
    assertThat(spool.status().incomplete())
        .containsExactly(Map.entry(file, written.plusSeconds(10)));
  }

  @Test
  void a_file_that_is_too_large_is_set_aside_and_the_quarantine_says_so()
      throws IOException, SQLException {
    Path file = away.post(task(1)).spooledIn().orElseThrow();
    long tooMany = 64L * 1024 * 1024 + 1;
    try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
      sparse.setLength(tooMany);
    }
    assertThat(drain()).isEqualTo(new DrainSummary(0, 0, 1, 0));
    assertThat(strings("select origin || ': ' || detail from cortex.quarantined"))
        .singleElement()
        .asString()
        .contains(file.getFileName().toString())
        .contains("at most 67108864 bytes; all of this one, of " + tooMany);
    assertThat(directory.resolve("damaged").resolve(file.getFileName() + ".draining")).exists();
  }

  @Test
  void while_one_drains_another_of_the_same_process_leaves_all_to_it() throws Exception {
    away.post(task(1));
    try (LockedFile drain = LockedFile.tryLock(directory.resolve("drain.lock")).orElseThrow()) {
      assertThat(drain()).isEqualTo(new DrainSummary(0, 0, 0, 1));
      assertThat(drain.channel().isOpen()).isTrue();
    }
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 0, 0));
  }

  @Test
  void a_line_of_which_a_bit_has_flipped_is_not_delivered() throws IOException, SQLException {
    Path file = away.postAll(List.of(task(1), task(2))).get(0).spooledIn().orElseThrow();
    String lines = Files.readString(file);
    Files.writeString(file, lines.replaceFirst("\"n\":1", "\"n\":5"));
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 1, 0));
    assertThat(strings("select payload ->> 'n' from cortex.events")).containsExactly("2");
  }

  @Test
  void the_files_are_open_to_their_owner_only_and_read_as_json() throws IOException {
    Path file = away.post(task(1)).spooledIn().orElseThrow();
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory)))
        .isEqualTo("rwx------");
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
        .isEqualTo("rw-------");
    assertThat(Files.readString(file, StandardCharsets.UTF_8))
        .startsWith("{\"spool\":1,\"sum\":")
        .contains("\"event\":{\"event_id\":\"evt_")
        .endsWith("}}\n");
  }

  @Test
  void a_link_or_an_open_directory_is_refused_and_a_linked_file_is_no_file_of_ours(
      @TempDir Path elsewhere) throws IOException, SQLException {
    Path link = Files.createSymbolicLink(elsewhere.resolve("link"), elsewhere);
    assertThatThrownBy(() -> Postbox.away(Spool.at(link)).post(task(1)))
        .isInstanceOf(SpoolFailedException.class)
        .hasMessageContaining("must be a directory, and not a link");
    Path open = Files.createDirectory(elsewhere.resolve("open"));
    Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxrwx---"));
    assertThatThrownBy(() -> Postbox.away(Spool.at(open)).post(task(1)))
        .hasMessageContaining("must be open to its owner only");

    Path file = away.post(task(1)).spooledIn().orElseThrow();
    Path moved = Files.move(file, elsewhere.resolve("secret"));
    Files.createSymbolicLink(file, moved);
    assertThat(drain()).isEqualTo(DrainSummary.NOTHING);
    assertThat(moved).exists();
  }

  @Test
  void a_full_spool_refuses_and_keeps_what_it_has() throws SQLException {
    Postbox small = Postbox.away(spool.withLimits(1000, 10));
    List<String> kept = new ArrayList<>();
    assertThatThrownBy(
            () -> {
              for (int n = 0; n < 100; n++) {
                kept.add(small.post(task(n)).eventId());
              }
            })
        .isInstanceOf(SpoolFailedException.class)
        .hasMessageContaining("is full");
    assertThat(kept).hasSizeBetween(2, 10);
    drain();
    assertThat(strings("select event_id from cortex.events order by id")).isEqualTo(kept);
  }

  @Test
  void more_than_one_file_can_hold_is_refused_and_none_of_it_is_there() throws SQLException {
    String filler = "x".repeat(15 * 1024 * 1024);
    List<EventDraft> drafts =
        IntStream.range(0, 4)
            .mapToObj(
                n -> EventDraft.of("task.failed", "w").withPayload("{\"n\":\"" + filler + "\"}"))
            .toList();
    assertThatThrownBy(() -> away.postAll(drafts))
        .isInstanceOf(SpoolFailedException.class)
        .hasMessageContaining("it takes 50331648 bytes at once, was 629");
    assertThat(spool.status().events()).isZero();
    assertThat(away.postAll(drafts.subList(0, 3))).hasSize(3);
    assertThat(spool.status().events()).isEqualTo(3);
  }

  @Test
  void what_is_written_while_it_is_drained_is_there_once() throws Exception {
    int writers = 4;
    int events = 300;
    List<String> ids = Collections.synchronizedList(new ArrayList<>());
    CountDownLatch done = new CountDownLatch(writers);
    List<Thread> threads =
        IntStream.range(0, writers)
            .mapToObj(
                w ->
                    new Thread(
                        () -> {
                          Postbox postbox = Postbox.away(Spool.at(directory));
                          IntStream.range(0, events)
                              .forEach(n -> ids.add(postbox.post(task(n)).eventId()));
                          done.countDown();
                        }))
            .toList();
    threads.forEach(Thread::start);
    while (done.getCount() > 0) {
      drain();
    }
    drain();
    assertThat(ids).hasSize(writers * events);
    assertThat(strings("select event_id from cortex.events"))
        .containsExactlyInAnyOrderElementsOf(ids);
    assertThat(strings("select id from cortex.quarantined")).isEmpty();
  }

  @Test
  void a_worker_that_is_told_to_delivers_what_waits() throws Exception {
    away.post(task(1));
    try (CortexEvents cortex = CortexEvents.connect(database.address("cortex_worker"));
        var worker = cortex.work(List.of(), WorkerOptions.defaults().withSpool(spool))) {
      Awaitility.await().until(spool::isEmpty);
      assertThat(worker.workerId()).isPositive();
    }
    assertThat(strings("select type from cortex.events")).containsExactly("task.failed");
  }

  private DrainSummary drain() throws SQLException {
    try (Connection connection = emitter.getConnection()) {
      return spool.drain(connection);
    }
  }

  private static EventDraft task(int n) {
    return EventDraft.of("task.failed", "w-1").withPayload("{\"n\":%d,\"é\":\"😀\"}".formatted(n));
  }

  private void terminate(Connection connection) throws SQLException {
    int pid;
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select pg_backend_pid()")) {
      row.next();
      pid = row.getInt(1);
    }
    strings("select pg_terminate_backend(" + pid + ", 10000)");
  }

  private void execute(String... statements) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      for (String one : statements) {
        statement.execute(one);
      }
    }
  }

  private List<String> strings(String query) throws SQLException {
    List<String> strings = new ArrayList<>();
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(query)) {
      while (rows.next()) {
        strings.add(rows.getString(1));
      }
    }
    return strings;
  }
}
