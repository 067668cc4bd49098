package dev.cortex.events.archive;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.documentation.Document;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.outbox.ImportOptions;
import dev.cortex.events.outbox.ImportSummary;
import dev.cortex.events.outbox.Importer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** What is too old leaves the database, and is never only gone. */
@ExtendWith(PostgresExtension.class)
@Timeout(300)
class ArchiveTest {
  private final TestDatabase database;
  private final TestLog log;
  @TempDir private Path directory;

  ArchiveTest(TestDatabase database) {
    this.database = database;
    this.log = new TestLog(database);
  }

  @BeforeEach
  void a_log_with_an_old_month() throws SQLException {
    for (String partition :
        log.rows(
            "select partition from cortex.partitions where starts_at < date_trunc('month', now())")) {
      log.run("drop table cortex." + partition);
    }
    log.run("delete from cortex.events");
    log.run("delete from cortex.deliveries");
    log.run("delete from cortex.dedupe_keys");
    log.run("delete from cortex.fires");
    log.run("update cortex.event_types set kept_for = null where kept_for is not null");
    log.run("update cortex.settings set kept_for = '90 days', archive_directory = null");
    log.run(
        "insert into cortex.event_types (type) values ('task.failed'), ('beat.heard') on conflict do nothing");
    log.month("2025_01");
  }

  @AfterEach
  void disconnect() {
    log.close();
  }

  private Archive archive() {
    return Archive.on(log.source()).in(directory);
  }

  private ArchiveReport run() {
    return archive().run(() -> false);
  }

  /** An event of January 2025, handed to whoever is subscribed. */
  private void old(String id) throws SQLException {
    log.run(
        """
        insert into cortex.events (type, source, event_id, payload, received_at, occurred_at)
        values ('task.failed', 'w-1', ?, '{"n": 1}', '2025-01-15 12:00Z', '2025-01-15 11:59Z')
        """,
        id);
  }

  private void handler(String name) throws SQLException {
    log.run(
        "select cortex.register_handler(?, 'transactional', 5::smallint, '30 s', array['task.failed'])",
        name);
  }

  private void forget(String handler) throws SQLException {
    log.run(
        "delete from cortex.subscriptions using cortex.handlers h where h.name = ? and subscriptions.handler_id = h.handler_id",
        handler);
  }

  private List<String> lines() throws SQLException {
    return log.rows("select line from cortex.event_log order by line");
  }

  private String content(String name) throws IOException {
    try (GZIPInputStream in = new GZIPInputStream(Files.newInputStream(directory.resolve(name)))) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  @Test
  void an_old_month_is_archived_and_dropped_and_an_import_brings_it_back_as_it_was()
      throws Exception {
    old("evt_20250115_120000_given");
    log.run(
        """
        insert into cortex.events (type, source, payload, metadata, priority, correlation_id, causation_id, key, dedupe_key,
                                   run_at, extensions, received_at, occurred_at)
        values ('task.failed', 'w "2"', '{"workers": [null, "w-2"], "é": 1e2}', '{"tags": ["a"]}', 'high', 'c-1',
                'evt_20250101_000000_x', 'k', 'd', '2025-01-20 00:00:00.5Z', '{"version": 2}', '2025-01-31 23:59:59.9Z',
                '2025-01-31 23:59:59.123456Z'),
               ('task.failed', 'w-3', null, null, null, null, null, null, null, null, null, '2025-01-01Z', '2024-12-31Z')
        """);
    log.run("select cortex.emit('task.failed', 'young')");
    List<String> before = lines();

    ArchiveReport report = run();

    assertThat(report.complete()).as(report.postponed().toString()).isTrue();
    assertThat(report.removed()).containsEntry("events", 3L);
    assertThat(report.files())
        .extracting(ArchivedFile::name)
        .containsExactly("events/2025-01.jsonl.gz", "attempts/2025-01.audit.gz");
    assertThat(log.rows("select source from cortex.events")).containsExactly("young");
    assertThat(log.rows("select partition from cortex.partitions where starts_at < '2025-02-01'"))
        .isEmpty();
    assertThat(archive().verify()).extracting(FileCheck::defect).containsOnly(Optional.empty());

    assertThat(restore(directory)).isEqualTo(new ImportSummary(3, 0, Map.of()));
    assertThat(lines()).isEqualTo(before);
    assertThat(
            log.rows(
                "select concat_ws(' ', causation_id, key, dedupe_key, cortex.iso_time(run_at), log_only) from cortex.events where key is not null"))
        .containsExactly("evt_20250101_000000_x k d 2025-01-20T00:00:00.500000Z t");
    assertThat(restore(directory)).isEqualTo(new ImportSummary(0, 3, Map.of()));
    assertThat(lines()).isEqualTo(before);
  }

  private ImportSummary restore(Path path) {
    return new Importer(database.address("cortex_operator").dataSource(), ImportOptions.defaults())
        .run(List.of(path));
  }

  @Test
  void the_attempts_of_an_archived_event_are_found_by_its_given_id_as_the_runbook_says()
      throws Exception {
    handler("joined");
    old("evt_20260115_120000_x1");
    old("evt_20260115_120000_x2");
    forget("joined");
    log.run(
        """
        with done as (
          delete from cortex.deliveries d using cortex.handlers h
           where h.handler_id = d.handler_id and h.name = 'joined' returning d.event, d.event_at, d.handler_id)
        insert into cortex.attempts (event, event_at, started_at, finished_at, outcome, handler_id, generation, attempt, error)
        select e.id, e.received_at, '2025-01-16Z', '2025-01-16Z', 'retry', d.handler_id, 0, 1, 'of ' || e.event_id
          from done d join cortex.events e on e.id = d.event and e.received_at = d.event_at
        """);
    assertThat(run().complete()).isTrue();
    log.run("delete from cortex.dedupe_keys");
    log.month("2025_01");
    old("evt_20260115_120000_x1"); // again, under another number
    assertThat(run().complete()).isTrue();

    assertThat(output(joined(), ".error")).containsExactly("of evt_20260115_120000_x1");
  }

  /** The runbook's commands that read the audit, in this archive. */
  private String joined() {
    return Document.of("ops/runbooks/restore.md").blocks("sh").stream()
        .map(Document.Block::text)
        .filter(commands -> commands.contains("zcat attempts/"))
        .findFirst()
        .orElseThrow()
        .replace("/var/lib/cortex/archive", directory.toString());
  }

  private List<String> output(String commands, String member) throws Exception {
    Process shell =
        new ProcessBuilder("bash", "-ec", "{ " + commands + "\n} | jq -r " + member)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    String output = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(shell.waitFor()).isZero();
    return output.lines().toList();
  }

  @Test
  void what_is_open_for_it_is_ended_as_expired_and_audited() throws Exception {
    handler("slow");
    handler("dead");
    old("evt_20250115_120000_open");
    log.run(
        "update cortex.deliveries d set run_at = 'infinity', attempt = 5 from cortex.handlers h where h.handler_id = d.handler_id and h.name = 'dead'");
    forget("slow");
    forget("dead");

    assertThat(archive().dryRun().expiredDeliveries()).isEqualTo(2);
    assertThat(run().expiredDeliveries()).isEqualTo(2);

    assertThat(log.rows("select event from cortex.deliveries")).isEmpty();
    assertThat(
            log.rows(
                """
                select concat_ws(' ', h.name, a.outcome, a.reason) from cortex.attempts a
                  join cortex.handlers h using (handler_id)
                 where h.name in ('slow', 'dead') order by h.name
                """))
        .containsExactly("dead expire retention", "slow expire retention");
    assertThat(content("events/2025-01.jsonl.gz")).contains("evt_20250115_120000_open");
  }

  @Test
  void a_month_stays_while_a_worker_holds_one_of_its_deliveries() throws Exception {
    handler("busy");
    old("evt_20250115_120000_busy");
    forget("busy");
    try (Connection worker = log.open()) {
      TestLog.run(worker, "select 1 from cortex.deliveries for update");
      ArchiveReport report = run();
      assertThat(report.complete()).isFalse();
      assertThat(report.postponed().get(0)).isEqualTo("events_2025_01: 1 deliveries are running");
      assertThat(log.rows("select event_id from cortex.events"))
          .containsExactly("evt_20250115_120000_busy");
      worker.rollback(); // a session that is closed may hold its locks for a moment more
    }
    assertThat(run().complete()).isTrue();
    assertThat(log.rows("select event_id from cortex.events")).isEmpty();
  }

  @Test
  void a_month_stays_when_a_delivery_for_one_of_its_events_is_made_meanwhile() throws Exception {
    handler("again");
    forget("again");
    old("evt_20250115_120000_again");
    CompletableFuture<ArchiveReport> run;
    try (Connection replay = log.open()) {
      TestLog.run(replay, "select pg_advisory_xact_lock_shared(cortex.log_lock_key())");
      TestLog.run(
          replay,
          """
          insert into cortex.deliveries (run_at, event, event_at, priority, handler_id, generation)
          select now(), e.id, e.received_at, 'medium', h.handler_id, 1
            from cortex.events e cross join cortex.handlers h
           where e.event_id = 'evt_20250115_120000_again' and h.name = 'again'
          """);
      run = CompletableFuture.supplyAsync(this::run);
      log.await(
          "select exists (select from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and not granted)");
      replay.commit();
    }
    assertThat(run.join().postponed()).anyMatch(line -> line.contains("1 deliveries are running"));
    assertThat(log.rows("select event_id from cortex.events"))
        .containsExactly("evt_20250115_120000_again");
  }

  @Test
  void what_an_emitter_commits_late_into_an_old_month_is_archived_too() throws Exception {
    handler("late");
    CompletableFuture<ArchiveReport> run;
    try (Connection late = log.open()) {
      TestLog.run(
          late,
          "insert into cortex.events (type, source, event_id, received_at) values ('task.failed', 'w', 'evt_20250115_120000_late', '2025-01-15Z')");
      run = CompletableFuture.supplyAsync(this::run);
      log.await(
          "select state = 'detaching' from cortex.partitions where partition = 'events_2025_01'");
      late.commit();
    }
    assertThat(run.join().complete()).as(run.join().postponed().toString()).isTrue();
    assertThat(content("events/2025-01.jsonl.gz")).contains("evt_20250115_120000_late");
    assertThat(log.rows("select event from cortex.deliveries")).isEmpty();
    assertThat(run.join().expiredDeliveries()).isEqualTo(1);
    forget("late");
  }

  @Test
  void nobody_who_emits_or_reads_waits_while_a_month_is_being_detached() throws Exception {
    old("evt_20250115_120000_wait");
    CompletableFuture<ArchiveReport> run;
    try (Connection reader = log.open();
        Connection emitter = log.open()) {
      TestLog.rows(reader, "select event_id from cortex.events");
      run = CompletableFuture.supplyAsync(this::run);
      log.await(
          "select state = 'detaching' from cortex.partitions where partition = 'events_2025_01'");
      TestLog.run(emitter, "set lock_timeout = '1ms'");
      for (int i = 0; i < 50; i++) {
        TestLog.run(emitter, "select cortex.emit('task.failed', 'quick')");
        TestLog.rows(emitter, "select id from cortex.events where received_at > now()");
        emitter.commit();
      }
      assertThat(run).isNotDone();
      reader.commit();
    }
    assertThat(run.join().complete()).isTrue();
    assertThat(log.text("select count(*) from cortex.events where source = 'quick'"))
        .isEqualTo("50");
  }

  @Test
  void events_of_a_type_that_is_kept_for_less_leave_earlier_and_no_others() throws Exception {
    log.run("update cortex.settings set kept_for = null");
    log.run("update cortex.event_types set kept_for = '7 days' where type = 'beat.heard'");
    handler("all");
    try (Connection late = log.open()) {
      TestLog.run(
          late,
          "insert into cortex.events (type, source, received_at) values ('beat.heard', 'open', '2025-01-02Z')");
      log.run(
          "insert into cortex.events (type, source, received_at) values ('beat.heard', 'gone', '2025-01-02Z'), ('task.failed', 'other', '2025-01-02Z'), ('beat.heard', 'gone', '2025-01-03Z')");
      log.run("select cortex.emit('beat.heard', 'young')");
      ArchiveReport report = run();
      assertThat(report.removed()).containsEntry("events", 2L);
      assertThat(report.files()).singleElement().extracting(ArchivedFile::rows).isEqualTo(2L);
      late.commit();
    }
    assertThat(log.rows("select source from cortex.events order by 1"))
        .containsExactly("open", "other", "young");
    assertThat(run().removed()).containsEntry("events", 1L);
    assertThat(archive().list()).hasSize(2);
    assertThat(restore(directory).accepted()).isEqualTo(3);
    forget("all");
  }

  @Test
  void what_belonged_to_events_that_are_gone_goes_too_and_the_rest_stays() throws Exception {
    log.run("update cortex.settings set records_kept_for = '90 days'");
    old("evt_20250115_120000_key");
    log.run("select cortex.emit('task.failed', 'w', event_id => 'evt_20261101_000000_young')");
    log.run(
        "insert into cortex.schedules (name, cron, type) values ('s', '* * * * *', 'task.failed') on conflict do nothing");
    log.run(
        "insert into cortex.fires (schedule, fire_at, fired_at, event_id) values ('s', '2025-01-01Z', '2025-01-01Z', 'x'), ('s', now(), now(), 'y')");
    log.run(
        "insert into cortex.workers (name, version, started_at, stopped_at) values ('old', '1', '2025-01-01Z', '2025-01-02Z'), ('new', '1', now(), now())");
    Map<String, Long> expected = archive().dryRun().removed();

    ArchiveReport report = run();

    assertThat(report.removed()).isEqualTo(expected);
    assertThat(report.removed())
        .containsEntry("dedupe_keys", 1L)
        .containsEntry("fires", 1L)
        .containsEntry("workers", 1L);
    assertThat(log.rows("select key from cortex.dedupe_keys"))
        .containsExactly("evt_20261101_000000_young");
    assertThat(log.rows("select name from cortex.workers where name in ('old', 'new')"))
        .containsExactly("new");
    log.run("delete from cortex.schedules");
  }

  @Test
  void a_dry_run_says_what_would_go_and_changes_nothing() throws Exception {
    old("evt_20250115_120000_dry");
    assertThat(archive().dryRun().removed()).containsEntry("events", 1L);
    assertThat(log.rows("select event_id from cortex.events"))
        .containsExactly("evt_20250115_120000_dry");
    assertThat(directory).isEmptyDirectory();
  }

  @Test
  void a_damaged_a_missing_and_an_unfinished_file_are_told_apart() throws Exception {
    old("evt_20250115_120000_damage");
    run();
    Path file = directory.resolve("events/2025-01.jsonl.gz");
    byte[] bytes = Files.readAllBytes(file);
    bytes[bytes.length / 2] ^= 1;
    Files.write(file, bytes);
    Files.delete(directory.resolve("attempts/2025-01.audit.gz"));
    Files.write(directory.resolve("events/2024-12.jsonl.gz"), bytes);
    List<String> defects =
        archive().verify().stream().map(c -> c.name() + " " + c.defect().orElse("whole")).toList();
    assertThat(defects.get(0)).startsWith("events/2024-12.jsonl.gz has no manifest");
    assertThat(defects.get(1)).startsWith("events/2025-01.jsonl.gz must ");
    assertThat(defects.get(2)).isEqualTo("attempts/2025-01.audit.gz must exist");
  }

  @Test
  void a_file_that_lost_its_manifest_is_to_be_kept_and_can_be_imported() throws Exception {
    old("evt_20250115_120000_only");
    run();
    Files.delete(directory.resolve("events/2025-01.jsonl.gz" + Manifest.SUFFIX));

    assertThat(defect("events/2025-01.jsonl.gz"))
        .isEqualTo("has no manifest; keep it: it may be the only copy; its 1 lines can be read");
    assertThat(restore(directory.resolve("events/2025-01.jsonl.gz")).accepted()).isEqualTo(1);
  }

  @Test
  void a_file_without_a_manifest_is_not_needed_only_while_a_whole_one_is_the_same()
      throws Exception {
    old("evt_20250115_120000_twice");
    run();
    Path file = directory.resolve("events/2025-01.jsonl.gz");
    Files.copy(file, directory.resolve("events/2025-01-2.jsonl.gz"));
    assertThat(defect("events/2025-01-2.jsonl.gz"))
        .isEqualTo(
            "has no manifest; it is the same as events/2025-01.jsonl.gz, which is whole: it is not needed");

    Files.write(file, new byte[] {1, 2, 3});
    assertThat(defect("events/2025-01-2.jsonl.gz")).contains("keep it: it may be the only copy");
  }

  private String defect(String name) {
    return archive().verify().stream()
        .filter(check -> check.name().equals(name))
        .findFirst()
        .orElseThrow()
        .defect()
        .orElse("whole");
  }

  @Test
  void a_manifest_that_cannot_be_read_is_named_and_keeps_no_other_month_from_leaving()
      throws Exception {
    old("evt_20250115_120000_first");
    run();
    Files.write(
        directory.resolve("events/2025-01.jsonl.gz" + Manifest.SUFFIX),
        new byte[] {'{', (byte) 0xff});
    Files.writeString(
        directory.resolve("attempts/2025-01.audit.gz" + Manifest.SUFFIX), "{\"format\": 1, ");
    log.month("2025_01");
    old("evt_20250115_120000_second");

    ArchiveReport report = run();

    assertThat(report.removed()).containsEntry("events", 1L);
    assertThat(content("events/2025-01-2.jsonl.gz")).contains("second");
    assertThat(report.postponed()).isEmpty();
    assertThat(report.complete()).isFalse();
    assertThat(report.left())
        .containsExactly(
            "events/2025-01.jsonl.gz: must have a manifest that can be read",
            "attempts/2025-01.audit.gz: must have a manifest that can be read");
    assertThat(archive().list()).hasSize(2);
    assertThat(defect("events/2025-01.jsonl.gz"))
        .startsWith("must have a manifest that can be read; keep it");
  }

  @Test
  void a_dry_run_by_who_only_reads_counts_the_months_that_are_detached() throws Exception {
    old("evt_20250115_120000_detached");
    log.run("alter table cortex.events detach partition cortex.events_2025_01");
    Archive reader = Archive.on(database.address("cortex_auditor").dataSource()).in(directory);

    assertThat(reader.dryRun().removed()).containsEntry("events", 1L);
    assertThat(run().removed()).containsEntry("events", 1L);
  }

  @Test
  void a_file_with_a_manifest_is_never_written_again() throws Exception {
    old("evt_20250115_120000_first");
    run();
    byte[] first = Files.readAllBytes(directory.resolve("events/2025-01.jsonl.gz"));
    log.month("2025_01");
    old("evt_20250115_120000_second");
    run();
    assertThat(Files.readAllBytes(directory.resolve("events/2025-01.jsonl.gz"))).isEqualTo(first);
    assertThat(content("events/2025-01-2.jsonl.gz")).contains("second");
  }

  @Test
  void a_file_that_lost_its_manifest_is_not_replaced() throws Exception {
    old("evt_20250115_120000_first");
    run();
    Path file = directory.resolve("events/2025-01.jsonl.gz");
    byte[] first = Files.readAllBytes(file);
    Files.delete(directory.resolve("events/2025-01.jsonl.gz" + Manifest.SUFFIX));
    Files.writeString(directory.resolve("events/2025-01-2.jsonl.gz.part"), "left by a kill");
    log.month("2025_01");
    old("evt_20250115_120000_second");
    assertThat(run().complete()).isTrue();
    assertThat(Files.readAllBytes(file)).isEqualTo(first);
    assertThat(content("events/2025-01-2.jsonl.gz")).contains("second");
    assertThat(directory.resolve("events/2025-01-2.jsonl.gz.part")).doesNotExist();
  }

  @Test
  void another_database_is_refused_the_directory_and_loses_nothing() throws Exception {
    old("evt_20250115_120000_ours");
    run();
    byte[] ours = Files.readAllBytes(directory.resolve("events/2025-01.jsonl.gz"));
    try (TestDatabase other = database.sibling();
        TestLog theirs = new TestLog(other)) {
      theirs.run("update cortex.settings set kept_for = '90 days'");
      theirs.run(
          "insert into cortex.event_types (type) values ('task.failed') on conflict do nothing");
      theirs.month("2025_01");
      theirs.run(
          "insert into cortex.events (type, source, event_id, received_at) values ('task.failed', 'w', 'evt_20250115_120000_theirs', '2025-01-15Z')");
      assertThatThrownBy(() -> Archive.on(theirs.source()).in(directory).run(() -> false))
          .isInstanceOfSatisfying(
              ArchiveFailedException.class,
              e -> assertThat(e.code()).isEqualTo(ErrorCode.CONFIGURATION))
          .hasMessageContaining("each database has a directory of its own");
      assertThat(theirs.rows("select event_id from cortex.events"))
          .containsExactly("evt_20250115_120000_theirs");
      assertThat(
              Archive.on(theirs.source())
                  .in(directory.resolve("theirs"))
                  .run(() -> false)
                  .complete())
          .isTrue();
    }
    assertThat(Files.readAllBytes(directory.resolve("events/2025-01.jsonl.gz"))).isEqualTo(ours);
    assertThat(archive().list()).hasSize(2);
  }

  @Test
  void a_copy_of_the_database_waits_while_a_run_is_in_the_directory() throws Exception {
    old("evt_20250115_120000_copy");
    Retention settings;
    try (Connection connection = log.open()) {
      settings = new ArchiveStore(connection).settings();
    }
    try (DirectoryLabel held = new ArchiveDirectory(directory).take(settings)) {
      assertThat(held).isNotNull();
      assertThatThrownBy(this::run)
          .isInstanceOfSatisfying(
              ArchiveFailedException.class,
              e -> assertThat(e.code()).isEqualTo(ErrorCode.TEMPORARY))
          .hasMessageContaining("another run works in");
    }
    assertThat(run().complete()).isTrue();
  }

  @Test
  void a_label_that_was_being_written_when_its_run_was_killed_is_written_again() throws Exception {
    old("evt_20250115_120000_label");
    Files.writeString(directory.resolve(DirectoryLabel.NAME), "server 1");
    assertThat(run().complete()).isTrue();
    assertThat(Files.readString(directory.resolve(DirectoryLabel.NAME)))
        .matches("server [0-9]+ database .*\n");
  }

  @Test
  void its_directories_are_made_for_their_owner_only() throws Exception {
    old("evt_20250115_120000_deep");
    Path deep = directory.resolve("not/there/yet");
    assertThat(Archive.on(log.source()).in(deep).run(() -> false).complete()).isTrue();
    for (String made : List.of("not", "not/there", "not/there/yet", "not/there/yet/events")) {
      assertThat(
              PosixFilePermissions.toString(Files.getPosixFilePermissions(directory.resolve(made))))
          .isEqualTo("rwx------");
    }
  }

  @Test
  void the_workers_that_a_month_names_stay_until_it_is_written() throws Exception {
    handler("busy");
    old("evt_20250115_120000_named");
    forget("busy");
    log.run("delete from cortex.workers");
    log.run(
        "insert into cortex.workers (name, version, started_at, stopped_at) values ('named', '1', '2025-01-01Z', '2025-01-20Z')");
    log.run(
        """
        insert into cortex.attempts (event, event_at, started_at, finished_at, worker_id, outcome, handler_id, generation, attempt)
        select e.id, e.received_at, e.received_at, e.received_at, w.worker_id, 'done', h.handler_id, 0, 1
          from cortex.events e cross join cortex.workers w cross join cortex.handlers h
         where e.event_id = 'evt_20250115_120000_named' and h.name = 'busy'
        """);
    log.run("alter table cortex.attempts detach partition cortex.attempts_2025_01");
    try (Connection worker = log.open()) {
      TestLog.run(worker, "select 1 from cortex.deliveries for update");
      assertThat(run().complete()).isFalse();
      worker.rollback();
    }
    assertThat(log.rows("select name from cortex.workers")).containsExactly("named");

    assertThat(run().complete()).isTrue();
    assertThat(content("attempts/2025-01.audit.gz")).contains("\"worker\":\"named\"");
    assertThat(log.rows("select name from cortex.workers")).isEmpty();
  }

  @Test
  void a_run_that_is_told_to_stop_removes_nothing_more() throws Exception {
    old("evt_20250115_120000_stop");
    log.run("select cortex.emit('task.failed', 'w', event_id => 'evt_20250101_000000_key')");
    log.run("update cortex.dedupe_keys set event_at = '2024-01-01Z'");
    log.run(
        "insert into cortex.workers (name, version, started_at, stopped_at) values ('old', '1', '2024-01-01Z', '2024-01-02Z')");
    ArchiveReport report = archive().run(() -> true);
    assertThat(report.removedInAll()).isZero();
    assertThat(report.complete()).isFalse();
    assertThat(log.rows("select key from cortex.dedupe_keys")).hasSize(2);
    assertThat(run().removed()).containsEntry("dedupe_keys", 2L).containsEntry("workers", 1L);
  }

  @Test
  void a_busy_lane_keeps_its_own_delivery_and_no_other_and_is_named() throws Exception {
    handler("ordered");
    forget("ordered");
    old("evt_20250115_120000_lane");
    try (Connection worker = log.open()) {
      TestLog.run(
          worker,
          "insert into cortex.lanes (handler_id, lane) select h.handler_id, 1 from cortex.handlers h where h.name = 'ordered' on conflict do nothing");
      worker.commit();
      log.run(
          """
          insert into cortex.deliveries (run_at, event, event_at, priority, handler_id, generation, lane, key)
          select now(), e.id, e.received_at, 'medium', h.handler_id, n, (n = 1)::int, case n when 1 then 'k' end
            from cortex.events e cross join cortex.handlers h cross join generate_series(1, 10002) n
           where e.event_id = 'evt_20250115_120000_lane' and h.name = 'ordered'
          """);
      TestLog.run(
          worker,
          "select 1 from cortex.lanes l join cortex.handlers h using (handler_id) where h.name = 'ordered' for update of l");
      ArchiveReport report = run();
      assertThat(report.expiredDeliveries()).isEqualTo(10_001);
      assertThat(report.postponed().get(0))
          .isEqualTo("events_2025_01: 1 deliveries are open, 1 of them in lanes that are busy");
      worker.rollback();
    }
    ArchiveReport report = run();
    assertThat(report.expiredDeliveries()).isEqualTo(1);
    assertThat(report.complete()).isTrue();
  }

  @Test
  void a_type_whose_events_others_work_on_is_left_for_the_next_run() throws Exception {
    log.run("update cortex.settings set kept_for = null");
    log.run("update cortex.event_types set kept_for = '7 days' where type = 'beat.heard'");
    String old =
        "insert into cortex.events (type, source, received_at) values ('beat.heard', 'w', '2025-01-02Z')";
    log.run(old);
    CompletableFuture<ArchiveReport> run;
    try (Connection replay = log.open()) {
      TestLog.run(replay, "select pg_advisory_xact_lock_shared(cortex.log_lock_key())");
      run = CompletableFuture.supplyAsync(() -> runOnce());
      log.await(
          "select exists (select from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and not granted)");
      log.run(old); // has a greater number, and so would be the next file's
      assertThat(run.join().postponed()).containsExactly("beat.heard: others work on its events");
    }
    assertThat(run.join().files()).hasSize(1);
    assertThat(run().removed()).containsEntry("events", 2L);
  }

  private ArchiveReport runOnce() {
    try (Connection connection = log.source().getConnection()) {
      return new ArchiveRun(connection, Optional.of(directory), () -> false, 1).run();
    } catch (SQLException | IOException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void without_a_directory_nothing_is_removed_and_the_setting_is_named() throws Exception {
    old("evt_20250115_120000_nowhere");
    assertThatThrownBy(() -> Archive.on(log.source()).run(() -> false))
        .isInstanceOfSatisfying(
            ArchiveFailedException.class,
            e -> assertThat(e.code()).isEqualTo(ErrorCode.CONFIGURATION))
        .hasMessageContaining("archive_directory must be set");
    log.run("update cortex.settings set archive_directory = ?", directory.toString());
    assertThat(Archive.on(log.source()).run(() -> false).removed()).containsEntry("events", 1L);
  }

  @Test
  void kept_for_ever_unless_the_settings_say_otherwise() throws Exception {
    log.run("update cortex.settings set kept_for = null");
    old("evt_20250115_120000_ever");
    assertThat(run().removedInAll()).isZero();
    assertThat(log.rows("select event_id from cortex.events")).hasSize(1);
  }

  @Test
  void who_is_not_the_owner_is_told_so_once_something_is_to_go() throws Exception {
    old("evt_20250115_120000_owner");
    Archive archive = Archive.on(database.address("cortex_worker").dataSource()).in(directory);
    assertThatThrownBy(() -> archive.run(() -> false))
        .isInstanceOfSatisfying(
            ArchiveFailedException.class,
            e -> assertThat(e.code()).isEqualTo(ErrorCode.NOT_PERMITTED))
        .hasMessageContaining("member of the owner role");
    log.run("update cortex.settings set kept_for = null");
    assertThat(archive.run(() -> false).removedInAll()).isZero();
    assertThat(log.rows("select event_id from cortex.events")).hasSize(1);
  }

  @Test
  void of_two_runs_at_once_one_says_that_it_has_to_wait() throws Exception {
    try (Connection other = log.open()) {
      TestLog.run(other, "select pg_advisory_xact_lock(hashtextextended('cortex.archive_run', 0))");
      assertThatThrownBy(this::run)
          .isInstanceOfSatisfying(
              ArchiveFailedException.class,
              e -> assertThat(e.code()).isEqualTo(ErrorCode.TEMPORARY));
    }
  }

  @Test
  void an_operator_sets_how_long_things_are_kept_and_is_recorded() throws Exception {
    try (Connection operator = database.address("cortex_operator").dataSource().getConnection()) {
      operator.setAutoCommit(false);
      TestLog.run(operator, "set local cortex.reason = 'INC-7: disk'");
      TestLog.run(operator, "update cortex.settings set kept_for = '30 days'");
      TestLog.run(
          operator, "update cortex.event_types set kept_for = '2 days' where type = 'beat.heard'");
      operator.commit();
      assertThat(
              TestLog.rows(
                  operator,
                  "select concat_ws(' ', action, subject ->> 'type', reason, after ->> 'kept_for') from cortex.operator_actions where reason = 'INC-7: disk' order by id"))
          .containsExactly(
              "retention INC-7: disk 30 days", "retention beat.heard INC-7: disk 2 days");
      assertThatThrownBy(
              () -> TestLog.run(operator, "update cortex.settings set kept_for = '1 minute'"))
          .hasMessageContaining("kept_for_is_a_day_to_1000_years");
      operator.rollback();
    }
  }
}
