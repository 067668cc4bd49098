package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.LeasedHandler;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.telemetry.EngineEvent;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What a leased handler is promised, each promise on a queue of its own. */
@ExtendWith(PostgresExtension.class)
class LeasedHandlersTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final RetryPolicy QUICK =
      RetryPolicy.defaults().withDelays(Duration.ofMillis(1), Duration.ofMillis(5));
  private static final AtomicInteger HANDLERS = new AtomicInteger();

  private final TestDatabase database;
  private final String handler = "leased-" + HANDLERS.incrementAndGet();
  private final String type = "test.leased" + HANDLERS.get();
  private final BlockingQueue<EngineEvent> told = new LinkedBlockingQueue<>();
  private final CountDownLatch begun = new CountDownLatch(1);
  private final CountDownLatch mayEnd = new CountDownLatch(1);
  private final CompletableFuture<Boolean> seenLost = new CompletableFuture<>();
  private final CortexEvents cortex;

  LeasedHandlersTest(TestDatabase database) {
    this.database = database;
    this.cortex = CortexEvents.connect(database.address("cortex_worker")).withTelemetry(told::add);
  }

  @BeforeEach
  void types_and_a_table_of_effects() throws SQLException {
    run("insert into cortex.event_types (type) values ('" + type + "'), ('" + type + ".next')");
    run("create table if not exists leased_effects (handler text, event_id text)");
    run("grant all on leased_effects to public");
  }

  @AfterEach
  void close() {
    mayEnd.countDown();
    cortex.close();
  }

  @Test
  void what_it_emits_and_completes_commits_with_the_acknowledgement() throws Exception {
    work(
        leased(
            (event, context) -> {
              context.emit(EventDraft.of(type + ".next", "test"));
              context.complete(connection -> effect(connection, event));
              return Outcome.done();
            }));
    String cause = emit();
    awaitCount(1, audit("done"));
    assertThat(count(effects())).isEqualTo(1);
    assertThat(
            count(
                "select count(*) from cortex.events where type = '%s.next' and causation_id = '%s' and causation_depth = 1"
                    .formatted(type, cause)))
        .isEqualTo(1);
    assertThat(count(open())).isZero();
    assertThat(count(audit("done") + " and started_at <= finished_at and worker_id is not null"))
        .isEqualTo(1);
  }

  @Test
  void no_transaction_is_open_while_it_runs() throws Exception {
    work(blocking());
    emit();
    begun.await();
    assertThat(
            count(
                "select count(*) from pg_stat_activity where datname = current_database()"
                    + " and state = 'idle in transaction' and application_name = 'cortex-worker'"))
        .isZero();
    assertThat(state()).isEqualTo("running");
    assertThat(
            count(
                "select sum(running) from cortex.queue_status where handler = '%s'"
                    .formatted(handler)))
        .isEqualTo(1);
  }

  @Test
  void every_outcome_is_recorded_and_only_done_writes_anything() throws Exception {
    List<Outcome> outcomes =
        List.of(
            Outcome.dead("bad"),
            Outcome.cancel("needless"),
            Outcome.snooze(Duration.ofHours(1)),
            Outcome.retryIn(Duration.ofHours(1), "later"));
    AtomicInteger next = new AtomicInteger();
    work(
        leased(
            (event, context) -> {
              context.emit(EventDraft.of(type + ".next", "test"));
              context.complete(connection -> effect(connection, event));
              return outcomes.get(next.getAndIncrement());
            }));
    for (int i = 0; i < outcomes.size(); i++) {
      emit();
    }
    awaitCount(4, audit("%"));
    assertThat(count(audit("dead") + " and reason = 'handler_dead' and error = 'bad'")).isOne();
    assertThat(count(audit("cancel") + " and reason = 'cancelled'")).isOne();
    assertThat(count(audit("snooze") + " and reason = 'handler_snooze'")).isOne();
    assertThat(count(audit("retry") + " and reason = 'handler_retry'")).isOne();
    assertThat(count(effects())).isZero();
    assertThat(count("select count(*) from cortex.events where type = '" + type + ".next'"))
        .isZero();
    assertThat(count(open() + " and leased_by is null and leased_at is null")).isEqualTo(3);
  }

  @Test
  void what_it_throws_is_charged_and_it_runs_again_with_the_next_fence_and_the_same_key()
      throws Exception {
    List<Long> fences = new ArrayList<>();
    Set<String> keys = ConcurrentHashMap.newKeySet();
    work(
        leased(
            (event, context) -> {
              fences.add(context.fence());
              keys.add(context.idempotencyKey());
              if (context.attempt() < 3) {
                throw new SQLException("a database of its own went away", "08006");
              }
              return Outcome.done();
            }));
    String id = emit();
    awaitCount(1, audit("done") + " and attempt = 3");
    assertThat(count(audit("retry") + " and reason = 'handler_failed'")).isEqualTo(2);
    assertThat(fences).containsExactly(1L, 2L, 3L);
    assertThat(keys)
        .containsExactly(
            id
                + "/"
                + text(
                    "select handler_id::text from cortex.handlers where name = '" + handler + "'")
                + "/0");
  }

  @Test
  void a_completion_that_fails_is_charged_and_leaves_nothing() throws Exception {
    work(
        leased(
            (event, context) -> {
              context.complete(connection -> effect(connection, event));
              context.emit(EventDraft.of(type + ".next", "test"));
              if (context.attempt() == 1) {
                context.complete(connection -> execute(connection, "select 1 / 0"));
              }
              return Outcome.done();
            }));
    emit();
    awaitCount(1, audit("done") + " and attempt = 2");
    assertThat(count(audit("retry") + " and reason = 'handler_failed'")).isOne();
    assertThat(count(effects())).isOne();
    assertThat(count("select count(*) from cortex.events where type = '" + type + ".next'"))
        .isOne();
  }

  @Test
  void what_cannot_be_recorded_while_the_database_is_away_is_recorded_when_it_is_back()
      throws Exception {
    AtomicInteger calls = new AtomicInteger();
    AtomicInteger losses = new AtomicInteger();
    work(
        leased(
            (event, context) -> {
              calls.incrementAndGet();
              context.complete(connection -> effect(connection, event));
              context.complete(
                  connection -> {
                    if (losses.incrementAndGet() <= 2) {
                      execute(connection, "select pg_terminate_backend(pg_backend_pid())");
                    }
                  });
              return Outcome.done();
            }));
    emit();
    awaitCount(1, audit("done") + " and attempt = 1");
    assertThat(calls.get()).isEqualTo(1);
    assertThat(count(effects())).isOne();
    assertThat(count(audit("%"))).isOne();
  }

  /** As in a failover that lasts for longer than the budget. */
  @Test
  void waiting_for_the_database_uses_up_nothing_of_the_time_budget() throws Exception {
    Duration budget = Duration.ofSeconds(2);
    AtomicInteger calls = new AtomicInteger();
    work(
        leased(
                (event, context) -> {
                  calls.incrementAndGet();
                  context.complete(connection -> effect(connection, event));
                  // Long enough for whoever watches the budget to look.
                  context.complete(connection -> execute(connection, "select pg_sleep(0.3)"));
                  begun.countDown();
                  mayEnd.await();
                  return Outcome.done();
                })
            .withLease(Duration.ofMinutes(1))
            .withTimeBudget(budget));
    emit();
    begun.await();
    takeDatabaseAway(budget);
    awaitCount(1, audit("done") + " and attempt = 1");
    assertThat(count(audit("%"))).isOne();
    assertThat(count(effects())).isOne();
    assertThat(calls.get()).isOne();
  }

  /** Where nobody else has leased it meanwhile, the fence lets it through. */
  @Test
  void what_waits_for_the_database_for_longer_than_its_lease_is_neither_cut_nor_stuck()
      throws Exception {
    AtomicInteger calls = new AtomicInteger();
    work(
        leased(
                (event, context) -> {
                  calls.incrementAndGet();
                  context.complete(connection -> effect(connection, event));
                  // Long enough for whoever watches the lease to look.
                  context.complete(connection -> execute(connection, "select pg_sleep(0.3)"));
                  begun.countDown();
                  mayEnd.await();
                  return Outcome.done();
                })
            .withLease(Duration.ofSeconds(1)),
        options().withLeases(1));
    emit();
    begun.await();
    takeDatabaseAway(Duration.ofSeconds(12));
    awaitCount(1, audit("done") + " and attempt = 1");
    assertThat(count(audit("%"))).isOne();
    assertThat(count(effects())).isOne();
    assertThat(calls.get()).isOne();
    assertThat(told).doesNotHaveAnyElementsOfTypes(EngineEvent.SlotLost.class);
  }

  /** For so long, from before the handler may end. */
  private void takeDatabaseAway(Duration time) throws SQLException {
    long start = System.nanoTime();
    try (Connection superuser = database.superuserAddress().dataSource().getConnection()) {
      limitConnections(superuser, 0);
      try {
        execute(
            superuser,
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                + " where datname = current_database() and pid <> pg_backend_pid()");
        mayEnd.countDown();
        await().atMost(PATIENCE).until(() -> System.nanoTime() - start > time.toNanos());
      } finally {
        limitConnections(superuser, -1);
      }
    }
  }

  /** Of whoever is no superuser. */
  private static void limitConnections(Connection superuser, int limit) throws SQLException {
    execute(
        superuser,
        "do $$ begin execute format('alter database %I connection limit "
            + limit
            + "', current_database()); end $$");
  }

  @Test
  void a_completion_that_ends_its_transaction_is_refused_and_charged() throws Exception {
    work(
        leased(
                (event, context) -> {
                  context.complete(
                      connection -> {
                        effect(connection, event);
                        try (Statement statement = connection.createStatement()) {
                          statement.execute("commit");
                        }
                      });
                  return Outcome.done();
                })
            .withRetry(QUICK.withMaxAttempts(2)));
    emit();
    awaitCount(1, audit("dead") + " and reason = 'handler_failed' and attempt = 2");
    assertThat(count(effects())).isZero();
    assertThat(count(audit("done"))).isZero();
  }

  @Test
  void a_completion_that_ends_its_transaction_past_the_guard_is_found_out_and_charged()
      throws Exception {
    work(
        leased(
                (event, context) -> {
                  context.complete(
                      connection -> {
                        try (Statement statement = PastTheGuard.of(connection).createStatement()) {
                          statement.execute("commit");
                        }
                        effect(connection, event);
                      });
                  return Outcome.done();
                })
            .withRetry(QUICK.withMaxAttempts(2)));
    emit();
    awaitCount(1, audit("dead") + " and reason = 'transaction_ended' and attempt = 2");
    assertThat(count(audit("done"))).isZero();
    assertThat(count(effects())).as("of the transaction that was none of the engine's").isZero();
  }

  @Test
  void a_completion_under_which_the_database_goes_away_every_time_is_charged() throws Exception {
    work(
        leased(
                (event, context) -> {
                  context.complete(
                      connection ->
                          execute(connection, "select pg_terminate_backend(pg_backend_pid())"));
                  return Outcome.done();
                })
            .withRetry(QUICK.withMaxAttempts(1)));
    emit();
    awaitCount(1, audit("dead") + " and reason = 'database_gone'");
  }

  /** As on a full disk, for a while. */
  @Test
  void what_is_done_elsewhere_waits_uncharged_for_as_long_as_it_cannot_be_acknowledged()
      throws Exception {
    AtomicInteger calls = new AtomicInteger();
    try (Connection superuser = database.superuserAddress().dataSource().getConnection()) {
      execute(
          superuser,
          """
          create sequence refusals;
          grant usage, select on refusals to public;
          create function refuse_attempt() returns trigger language plpgsql as $$
          begin
            raise exception 'disk full, refusal %', nextval('public.refusals') using errcode = 'disk_full';
          end $$;
          create trigger refuse_attempt before insert on cortex.attempts
             for each row execute function refuse_attempt()""");
      work(
          leased(
                  (event, context) -> {
                    calls.incrementAndGet();
                    return Outcome.done();
                  })
              .withRetry(QUICK.withMaxAttempts(1)));
      emit();
      try {
        awaitCount(1, "select count(*) from refusals where last_value > 7");
      } finally {
        execute(superuser, "drop function refuse_attempt() cascade; drop sequence refusals");
      }
    }
    awaitCount(1, audit("done") + " and attempt = 1");
    assertThat(calls.get()).isOne();
  }

  /** Whoever renews waits for an answer; whoever tells does not. */
  @Test
  void a_renewal_that_gets_no_answer_keeps_no_handler_from_being_told() throws Exception {
    work(blocking());
    emit();
    begun.await();
    try (Connection holder = database.superuserAddress().dataSource().getConnection()) {
      holder.setAutoCommit(false);
      execute(holder, "lock table cortex.deliveries in access exclusive mode");
      assertThat(seenLost.get(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
      assertThat(heard(EngineEvent.LeaseLost.class).reason()).isEqualTo("lapsed");
      holder.rollback();
    }
    mayEnd.countDown();
    awaitCount(1, audit("done"));
    assertThat(count(audit("crash") + " and reason = 'lease_lost'")).isOne();
  }

  @Test
  void the_lease_is_renewed_for_as_long_as_the_handler_lives() throws Exception {
    work(blocking());
    emit();
    begun.await();
    awaitCount(1, open() + " and run_at > leased_at + interval '3 s'");
    assertThat(seenLost).isNotDone();
    mayEnd.countDown();
    awaitCount(1, audit("done") + " and attempt = 1");
    assertThat(count(open())).isZero();
  }

  @Test
  void interleaving_6_an_acknowledgement_with_a_lost_lease_is_refused_and_counted()
      throws Exception {
    AtomicBoolean isStubborn = new AtomicBoolean(true);
    work(
        leased(
            (event, context) -> {
              context.complete(connection -> effect(connection, event));
              context.emit(EventDraft.of(type + ".next", "test"));
              if (isStubborn.getAndSet(false)) {
                begun.countDown();
                awaitUninterruptibly(mayEnd);
              }
              return Outcome.done();
            }));
    emit();
    begun.await();
    // As another worker's cortex.lease does.
    run(
        "update cortex.deliveries set fence = fence + 1, leased_by = -1, run_at = clock_timestamp()"
            + " + '1 h' where "
            + mine());
    assertThat(heard(EngineEvent.LeaseLost.class).reason()).isEqualTo("gone");
    mayEnd.countDown();
    EngineEvent.LeaseRefused refused = heard(EngineEvent.LeaseRefused.class);
    assertThat(refused.fence()).isEqualTo(1);
    assertThat(count(effects())).isZero();
    assertThat(count("select count(*) from cortex.events where type = '" + type + ".next'"))
        .isZero();
    assertThat(count(audit("%"))).isZero();
    assertThat(count(open() + " and leased_by = -1 and fence = 2")).isOne();
  }

  @Test
  void a_delivery_that_is_cancelled_while_it_runs_is_gone_and_its_handler_is_told()
      throws Exception {
    work(blocking());
    String id = emit();
    begun.await();
    assertThat(text("select state from cortex.cancel('" + id + "', 'a test')"))
        .isEqualTo("cancelled");
    assertThat(seenLost.get(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
    assertThat(heard(EngineEvent.LeaseLost.class).reason()).isEqualTo("gone");
    assertThat(text("select state from cortex.deliveries_of('" + id + "')")).isEqualTo("cancelled");
    assertThat(count(audit("done"))).isZero();
  }

  @Test
  void a_handler_past_its_time_budget_is_interrupted_and_charged() throws Exception {
    work(blocking().withTimeBudget(Duration.ofMillis(200)).withRetry(QUICK.withMaxAttempts(1)));
    emit();
    assertThat(seenLost.get(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
    assertThat(heard(EngineEvent.BatchOverran.class).mode()).isEqualTo("leased");
    awaitCount(1, audit("dead") + " and reason = 'time_budget'");
  }

  @Test
  void an_event_that_loses_its_lease_every_time_is_charged_to_its_worker_and_dies()
      throws Exception {
    AtomicInteger calls = new AtomicInteger();
    HandlerDefinition second =
        leased(
                (event, context) -> {
                  calls.incrementAndGet();
                  return Outcome.done();
                })
            .withRetry(QUICK.withMaxAttempts(2));
    cortex.work(List.of(second)).close();
    emit();
    run(
        "update cortex.deliveries set leased_by = 4711, leased_at = clock_timestamp(), fence = 7,"
            + " attempt = 1, run_at = clock_timestamp() where "
            + mine());
    work(second);
    awaitCount(
        1, audit("dead") + " and reason = 'lease_lost' and worker_id = 4711 and attempt = 2");
    assertThat(count(open() + " and run_at = 'infinity' and leased_by is null")).isOne();
    assertThat(calls.get()).as("it was not run again").isZero();
  }

  @Test
  void a_lease_that_ran_out_is_charged_before_the_event_runs_again() throws Exception {
    HandlerDefinition second =
        leased(
            (event, context) -> {
              context.complete(connection -> effect(connection, event));
              return context.attempt() == 2 && context.fence() == 8
                  ? Outcome.done()
                  : Outcome.dead("attempt " + context.attempt());
            });
    cortex.work(List.of(second)).close();
    emit();
    run(
        "update cortex.deliveries set leased_by = 4711, leased_at = clock_timestamp(), fence = 7,"
            + " run_at = clock_timestamp() where "
            + mine());
    work(second);
    awaitCount(1, audit("done") + " and attempt = 2");
    assertThat(
            count(
                audit("crash") + " and reason = 'lease_lost' and worker_id = 4711 and attempt = 1"))
        .isOne();
    EngineEvent.AttemptSettled settled = heard(EngineEvent.AttemptSettled.class);
    assertThat(settled.reason()).isEqualTo("lease_lost");
  }

  /** It lies at the end of its lease, behind all that was due before. */
  @Test
  void what_lost_its_lease_is_run_before_the_end_of_a_queue_that_was_due_earlier()
      throws Exception {
    List<String> calls = Collections.synchronizedList(new ArrayList<>());
    HandlerDefinition second =
        leased(
            (event, context) -> {
              calls.add(event.id());
              return Outcome.done();
            });
    cortex.work(List.of(second)).close();
    String lost = emit();
    run(
        "insert into cortex.events (type, source) select '%s', 'test' from generate_series(1, 1000)"
            .formatted(type));
    run(
        "update cortex.deliveries set leased_by = 4711, leased_at = clock_timestamp(), fence = 7,"
            + " run_at = clock_timestamp() where event = (select min(event) from cortex.deliveries where %s)"
                .formatted(mine()));
    work(second, options().withLeases(1));
    awaitCount(1001, audit("done"));
    assertThat(calls).hasSize(1001).contains(lost);
    assertThat(calls.get(1000)).isNotEqualTo(lost);
    assertThat(count(audit("crash") + " and reason = 'lease_lost' and worker_id = 4711")).isOne();
  }

  @Test
  void stopping_waits_for_what_runs() throws Exception {
    Worker worker = work(blocking());
    emit();
    begun.await();
    CompletableFuture<Void> closing = CompletableFuture.runAsync(worker::close);
    mayEnd.countDown();
    closing.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    assertThat(count(audit("done"))).isOne();
  }

  @Test
  void stopping_waits_until_what_has_ended_is_recorded() throws Exception {
    AtomicInteger calls = new AtomicInteger();
    run("create sequence clashes");
    run("grant usage on sequence clashes to public");
    Worker worker =
        work(
            leased(
                (event, context) -> {
                  calls.incrementAndGet();
                  begun.countDown();
                  mayEnd.await();
                  return Outcome.done();
                }));
    emit();
    begun.await();
    run(
        """
        create function clash() returns trigger language plpgsql as $$
        begin
          perform nextval('public.clashes');
          raise serialization_failure;
        end $$;
        create trigger clash before insert on cortex.attempts for each row execute function clash();
        """);
    CompletableFuture<Void> closing = CompletableFuture.runAsync(worker::close);
    mayEnd.countDown();
    awaitCount(1, "select is_called::int from clashes");
    run("drop function clash cascade");
    closing.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    assertThat(calls).hasValue(1);
    assertThat(count(audit("done"))).isOne();
    assertThat(count(open())).isZero();
  }

  @Test
  void what_does_not_end_in_the_grace_period_is_given_back_uncharged() throws Exception {
    Worker worker = work(blocking(), options().withGracePeriod(Duration.ofMillis(1)));
    emit();
    begun.await();
    worker.close();
    assertThat(seenLost.get(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
    assertThat(
            count(
                open() + " and leased_by is null and attempt = 0 and run_at <= clock_timestamp()"))
        .isOne();
    assertThat(count(audit("%"))).isZero();
  }

  @Test
  void a_handler_that_never_ends_keeps_no_delivery_from_being_given_back() throws Exception {
    Worker worker =
        work(
            leased(
                (event, context) -> {
                  begun.countDown();
                  awaitUninterruptibly(mayEnd);
                  return Outcome.done();
                }),
            options().withGracePeriod(Duration.ofMillis(1)));
    emit();
    begun.await();
    worker.close();
    assertThat(count(open() + " and leased_by is null and attempt = 0")).isOne();
  }

  @Test
  void a_completion_past_the_time_budget_is_interrupted_undone_and_charged() throws Exception {
    AtomicInteger begun = new AtomicInteger();
    AtomicInteger interrupted = new AtomicInteger();
    work(
        leased(
                (event, context) -> {
                  context.complete(
                      connection -> {
                        begun.incrementAndGet();
                        effect(connection, event);
                        try {
                          mayEnd.await();
                        } catch (InterruptedException e) {
                          interrupted.incrementAndGet();
                        }
                      });
                  return Outcome.done();
                })
            .withTimeBudget(Duration.ofSeconds(1))
            .withRetry(QUICK.withMaxAttempts(2)));
    emit();
    awaitCount(1, audit("dead") + " and reason = 'time_budget' and attempt = 2");
    assertThat(interrupted.get()).as("each that had begun").isEqualTo(begun.get()).isPositive();
    assertThat(count(effects())).isZero();
    assertThat(count(audit("done"))).isZero();
  }

  @Test
  void no_completion_begins_after_the_time_budget() throws Exception {
    AtomicInteger begun = new AtomicInteger();
    work(
        leased(
                (event, context) -> {
                  try {
                    mayEnd.await();
                  } catch (InterruptedException e) {
                    context.complete(connection -> begun.incrementAndGet());
                  }
                  return Outcome.done();
                })
            .withTimeBudget(Duration.ofMillis(300))
            .withRetry(QUICK.withMaxAttempts(1)));
    emit();
    awaitCount(1, audit("dead") + " and reason = 'time_budget'");
    assertThat(begun.get()).isZero();
  }

  @Test
  void a_completion_that_never_returns_costs_its_thread_but_not_its_place() throws Exception {
    AtomicBoolean isFirst = new AtomicBoolean(true);
    assertOnlyItsThreadIsLost(
        (event, context) -> {
          context.complete(
              connection -> {
                if (isFirst.getAndSet(false)) {
                  awaitUninterruptibly(mayEnd);
                }
                effect(connection, event);
              });
          return Outcome.done();
        });
  }

  @Test
  void a_leased_handler_that_never_returns_costs_its_thread_but_not_its_place() throws Exception {
    AtomicBoolean isFirst = new AtomicBoolean(true);
    assertOnlyItsThreadIsLost(
        (event, context) -> {
          if (isFirst.getAndSet(false)) {
            awaitUninterruptibly(mayEnd);
          }
          context.complete(connection -> effect(connection, event));
          return Outcome.done();
        });
  }

  /** The worker has one place; the first call keeps its thread. */
  private void assertOnlyItsThreadIsLost(LeasedHandler work) throws Exception {
    work(leased(work).withTimeBudget(Duration.ofMillis(300)), options().withLeases(1));
    emit();
    emit();
    awaitCount(2, audit("done"));
    assertThat(heard(EngineEvent.SlotLost.class))
        .isEqualTo(new EngineEvent.SlotLost(handler, "leased", 1));
    assertThat(count(audit("crash") + " and reason = 'lease_lost'")).isOne();
    assertThat(count(effects())).isEqualTo(2);
    mayEnd.countDown();
  }

  @Test
  void long_leased_work_keeps_no_slot_from_what_is_quick() throws Exception {
    HandlerDefinition quick =
        HandlerDefinition.oneByOne(handler + "-quick", (event, context) -> Outcome.done())
            .on(type + ".next");
    cortex.work(List.of(blocking(), quick), options().withSlots(1).withLeases(1));
    emit();
    begun.await();
    run("insert into cortex.events (type, source) values ('" + type + ".next', 'test')");
    awaitCount(
        1,
        "select count(*) from cortex.attempts join cortex.handlers using (handler_id) where name = '%s-quick'"
            .formatted(handler));
    assertThat(mayEnd.getCount()).isOne();
  }

  @Test
  void a_worker_has_not_drained_while_leased_work_runs() throws Exception {
    Worker worker = work(blocking());
    emit();
    begun.await();
    assertThat(worker.awaitDrained(Duration.ofMillis(1500))).isFalse();
    mayEnd.countDown();
    assertThat(worker.awaitDrained(PATIENCE)).isTrue();
    assertThat(count(audit("done"))).isOne();
  }

  @Test
  void many_are_each_run_once() throws Exception {
    AtomicInteger calls = new AtomicInteger();
    work(
        leased(
            (event, context) -> {
              calls.incrementAndGet();
              context.complete(connection -> effect(connection, event));
              return Outcome.done();
            }));
    run(
        "insert into cortex.events (type, source) select '%s', 'test' from generate_series(1, 2000)"
            .formatted(type));
    awaitCount(2000, audit("done"));
    assertThat(count(effects())).isEqualTo(2000);
    assertThat(calls.get()).isEqualTo(2000);
    assertThat(count(open())).isZero();
  }

  @Test
  void no_more_of_them_run_at_once_than_the_cluster_may() throws Exception {
    AtomicInteger running = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    HandlerDefinition limited =
        leased(
                (event, context) -> {
                  most.accumulateAndGet(running.incrementAndGet(), Math::max);
                  Thread.sleep(2); // its work: long enough for others to begin beside it
                  running.decrementAndGet();
                  return Outcome.done();
                })
            .withMaxRunning(2);
    for (int worker = 0; worker < 3; worker++) {
      work(limited);
    }
    run(
        "insert into cortex.events (type, source) select '%s', 'test' from generate_series(1, 300)"
            .formatted(type));
    awaitCount(300, audit("done"));
    assertThat(most.get()).isEqualTo(2);
  }

  private HandlerDefinition leased(LeasedHandler work) {
    return HandlerDefinition.leased(handler, work)
        .on(type)
        .withRetry(QUICK)
        .withLease(Duration.ofSeconds(1));
  }

  /** Runs until the test lets it end, or until it is told to stop. */
  private HandlerDefinition blocking() {
    return leased(
        (event, context) -> {
          begun.countDown();
          try {
            mayEnd.await();
          } catch (InterruptedException e) {
            seenLost.complete(context.isLost());
            throw e;
          }
          return Outcome.done();
        });
  }

  private static void awaitUninterruptibly(CountDownLatch latch) {
    while (latch.getCount() > 0) {
      try {
        latch.await();
      } catch (InterruptedException e) {
        // Goes on all the same, as bad code does.
      }
    }
  }

  private static WorkerOptions options() {
    return WorkerOptions.defaults().withSlots(1).withLeases(4);
  }

  private Worker work(HandlerDefinition definition) throws Exception {
    return work(definition, options());
  }

  private Worker work(HandlerDefinition definition, WorkerOptions options) throws Exception {
    return cortex.work(List.of(definition), options);
  }

  private <T extends EngineEvent> T heard(Class<T> kind) throws InterruptedException {
    while (true) {
      EngineEvent event = told.poll(PATIENCE.toSeconds(), TimeUnit.SECONDS);
      assertThat(event).as("waiting for " + kind.getSimpleName()).isNotNull();
      if (kind.isInstance(event)) {
        return kind.cast(event);
      }
    }
  }

  private void effect(Connection connection, Event event) throws SQLException {
    try (PreparedStatement insert =
        connection.prepareStatement("insert into leased_effects values (?, ?)")) {
      insert.setString(1, handler);
      insert.setString(2, event.id());
      insert.executeUpdate();
    }
  }

  private String emit() throws SQLException {
    return text("select cortex.emit('" + type + "', 'test')");
  }

  private String mine() {
    return "handler_id = (select handler_id from cortex.handlers where name = '" + handler + "')";
  }

  private String open() {
    return "select count(*) from cortex.deliveries where " + mine();
  }

  private String audit(String outcome) {
    return "select count(*) from cortex.attempts where %s and outcome::text like '%s'"
        .formatted(mine(), outcome);
  }

  private String effects() {
    return "select count(*) from leased_effects where handler = '" + handler + "'";
  }

  private String state() throws SQLException {
    return text("select state from cortex.open_deliveries where handler = '" + handler + "'");
  }

  private void awaitCount(long expected, String sql) {
    await()
        .atMost(PATIENCE)
        .pollInterval(Duration.ofMillis(20))
        .untilAsserted(() -> assertThat(count(sql)).as(sql).isEqualTo(expected));
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection()) {
      execute(connection, sql);
    }
  }

  private static void execute(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private long count(String sql) throws SQLException {
    return Long.parseLong(text(sql));
  }

  private String text(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      assertThat(row.next()).as(sql).isTrue();
      return String.valueOf(row.getString(1));
    }
  }
}
