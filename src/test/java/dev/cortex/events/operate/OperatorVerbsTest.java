package dev.cortex.events.operate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

@ExtendWith(PostgresExtension.class)
@Timeout(60)
class OperatorVerbsTest {
  private final TestQueue queue;
  private final Operations operator;

  OperatorVerbsTest(TestDatabase database) {
    this.queue = new TestQueue(database);
    this.operator = queue.operator();
  }

  @Test
  void a_dead_delivery_is_available_again_with_its_attempts_kept() throws SQLException {
    queue.handler("retry-dead", "retry.dead");
    String event = queue.emit("retry.dead");
    queue.kill("retry-dead");

    assertThat(operator.retry(event, "retry-dead", "fixed")).isEqualTo(DeliveryState.AVAILABLE);

    assertThat(operator.deliveries(event))
        .extracting(DeliveryStatus::state, DeliveryStatus::attempts)
        .containsExactly(tuple(DeliveryState.AVAILABLE, 5));
  }

  @Test
  void a_retrying_delivery_need_not_wait() throws SQLException {
    queue.handler("retry-early", "retry.early");
    String event = queue.emit("retry.early");
    queue.run(
        """
        update cortex.deliveries set run_at = now() + interval '1 h', attempt = 1
         where event = (select id from cortex.locate_event(?))
        """,
        event);
    assertThat(queue.states("retry-early")).isEqualTo("retrying");

    assertThat(operator.retry(event, "retry-early", "now")).isEqualTo(DeliveryState.AVAILABLE);
    assertThat(queue.states("retry-early")).isEqualTo("available");
  }

  @Test
  void a_delivery_that_never_failed_cannot_be_retried() throws SQLException {
    queue.handler("retry-fresh", "retry.fresh");
    String event = queue.emit("retry.fresh");
    assertRefused(
        () -> operator.retry(event, "retry-fresh", "why not"),
        ErrorCode.INVALID_DATA,
        "event_id",
        "must have a delivery that is retrying or dead");
  }

  @Test
  void retrying_while_a_worker_finishes_neither_waits_nor_doubles() throws SQLException {
    queue.handler("retry-race", "retry.race");
    String event = queue.emit("retry.race");
    queue.run(
        """
        update cortex.deliveries set attempt = 1
         where event = (select id from cortex.locate_event(?))
        """,
        event);
    try (Connection worker = queue.claim("retry-race")) {
      assertThat(operator.retry(event, "retry-race", "too late")).isEqualTo(DeliveryState.RUNNING);
      TestQueue.acknowledge(worker, "retry-race");
    }
    assertThat(operator.deliveries(event))
        .extracting(DeliveryStatus::state, DeliveryStatus::attempts)
        .containsExactly(tuple(DeliveryState.COMPLETED, 2));
  }

  @Test
  void redriving_takes_the_oldest_first_and_no_more_than_it_may() throws SQLException {
    queue.handler("redrive", "redrive.one");
    List<String> events =
        List.of(queue.emit("redrive.one"), queue.emit("redrive.one"), queue.emit("redrive.one"));
    queue.kill("redrive");

    assertThat(operator.redrive("redrive", Optional.empty(), 2, "fixed")).isEqualTo(2);
    assertThat(operator.deadLetters("redrive", 0, 10))
        .extracting(DeadLetter::eventId)
        .containsExactly(events.get(2));
    assertThat(operator.redrive("redrive", Optional.empty(), 2, "fixed")).isEqualTo(1);
    assertThat(operator.redrive("redrive", Optional.empty(), 2, "fixed")).isZero();
  }

  @Test
  void redriving_one_type_leaves_the_others_dead_and_knows_aliases() throws SQLException {
    queue.handler("redrive-typed", "redrive.first");
    queue.handler("redrive-typed", "redrive.second");
    queue.run(
        "insert into cortex.event_types (type, alias_of) values ('redrive.1st', 'redrive.first')");
    queue.emit("redrive.1st");
    String left = queue.emit("redrive.second");
    queue.kill("redrive-typed");

    assertThat(operator.redrive("redrive-typed", Optional.of("redrive.first"), 10, "one type"))
        .isEqualTo(1);
    assertThat(operator.deadLetters("redrive-typed", 0, 10))
        .extracting(DeadLetter::eventId)
        .containsExactly(left);
  }

  @Test
  void cancelling_ends_what_nobody_runs_and_leaves_a_row_in_the_audit() throws SQLException {
    queue.handler("cancel-a", "cancel.all");
    queue.handler("cancel-b", "cancel.all");
    String event = queue.emit("cancel.all");

    assertThat(operator.cancel(event, Optional.empty(), "not needed"))
        .containsExactly(
            new Cancellation("cancel-a", 0, DeliveryState.CANCELLED),
            new Cancellation("cancel-b", 0, DeliveryState.CANCELLED));
    assertThat(operator.audit(event))
        .extracting(AuditEntry::handler, AuditEntry::outcome, AuditEntry::attempt)
        .containsExactly(tuple("cancel-a", "cancel", 0), tuple("cancel-b", "cancel", 0));
    assertThat(operator.deliveries(event))
        .extracting(DeliveryStatus::state)
        .containsOnly(DeliveryState.CANCELLED);
  }

  @Test
  void cancelling_what_a_worker_holds_returns_at_once_and_says_running() throws SQLException {
    queue.handler("cancel-held", "cancel.held");
    queue.handler("cancel-free", "cancel.held");
    String event = queue.emit("cancel.held");
    try (Connection worker = queue.claim("cancel-held")) {
      assertThat(operator.cancel(event, Optional.empty(), "stop"))
          .containsExactly(
              new Cancellation("cancel-free", 0, DeliveryState.CANCELLED),
              new Cancellation("cancel-held", 0, DeliveryState.RUNNING));
      TestQueue.acknowledge(worker, "cancel-held");
    }
    assertThat(operator.audit(event))
        .extracting(AuditEntry::handler, AuditEntry::outcome)
        .containsExactly(tuple("cancel-free", "cancel"), tuple("cancel-held", "done"));
  }

  @Test
  void cancelling_ends_a_leased_delivery_whose_worker_finds_it_gone() throws SQLException {
    queue.handler("cancel-leased", "cancel.leased");
    String event = queue.emit("cancel.leased");
    queue.run(
        """
        update cortex.deliveries set leased_by = 1, fence = 1, run_at = now() + interval '1 min'
         where event = (select id from cortex.locate_event(?))
        """,
        event);
    assertThat(operator.cancel(event, Optional.of("cancel-leased"), "stop"))
        .containsExactly(new Cancellation("cancel-leased", 0, DeliveryState.CANCELLED));
    assertThat(queue.states("cancel-leased")).isEmpty();
  }

  @Test
  void the_operators_log_says_who_when_why_before_and_after() throws SQLException {
    queue.handler("logged", "logged.event");
    String event = queue.emit("logged.event");
    queue.kill("logged");
    operator.retry(event, "logged", "INC-42: fixed");

    OperatorAction action = queue.auditor().actions(1).get(0);
    assertThat(action.action()).isEqualTo("retry");
    assertThat(action.reason()).isEqualTo("INC-42: fixed");
    assertThat(action.subject().string("event_id")).contains(event);
    assertThat(action.databaseUser()).isNotEqualTo("cortex_owner").contains("operator");
    assertThat(action.before().orElse("")).contains("\"state\": \"dead\"");
    assertThat(action.after().orElse("")).contains("\"state\": \"available\"");
    assertThat(action.actedAt()).isNotNull();
  }

  @Test
  void every_verb_needs_a_reason() throws SQLException {
    queue.handler("reasons", "reasons.event");
    String event = queue.emit("reasons.event");
    for (Runnable verb :
        List.<Runnable>of(
            () -> operator.retry(event, "reasons", " "),
            () -> operator.redrive("reasons", Optional.empty(), 1, ""),
            () -> operator.cancel(event, Optional.empty(), ""),
            () -> operator.pauseHandler("reasons", ""),
            () -> operator.resumeHandler("reasons", ""),
            () -> operator.pauseType("reasons.event", ""),
            () -> operator.resumeType("reasons.event", ""))) {
      assertRefused(verb, ErrorCode.INVALID_DATA, "reason", "must have 1 to 1000 characters");
    }
  }

  @Test
  void what_does_not_exist_is_named() throws SQLException {
    queue.handler("known", "known.event");
    String event = queue.emit("known.event");
    assertRefused(
        () -> operator.retry("evt_20200101_000000_1", "known", "r"),
        ErrorCode.NOT_FOUND,
        "event_id",
        "must be the id of a recorded event");
    assertRefused(
        () -> operator.retry(event, "unknown", "r"),
        ErrorCode.NOT_FOUND,
        "handler",
        "must be a known handler");
    assertRefused(
        () -> operator.pauseType("known.evnt", "r"),
        ErrorCode.NOT_FOUND,
        "type",
        "must be a known type (did you mean \"known.event\"?)");
    assertRefused(
        () -> operator.redrive("known", Optional.empty(), 10_001, "r"),
        ErrorCode.INVALID_DATA,
        "max_deliveries",
        "must be 1 to 10000");
  }

  @Test
  void an_auditor_sees_everything_and_cannot_call_a_verb() throws SQLException {
    queue.handler("guarded", "guarded.event");
    String event = queue.emit("guarded.event");
    Operations auditor = queue.auditor();
    assertThat(auditor.deliveries(event)).hasSize(1);
    assertThat(auditor.trace(event)).hasSize(1);
    for (Runnable verb :
        List.<Runnable>of(
            () -> auditor.retry(event, "guarded", "r"),
            () -> auditor.redrive("guarded", Optional.empty(), 1, "r"),
            () -> auditor.cancel(event, Optional.empty(), "r"),
            () -> auditor.pauseHandler("guarded", "r"),
            () -> auditor.pauseType("guarded.event", "r"))) {
      assertThatThrownBy(verb::run)
          .isInstanceOfSatisfying(
              CortexException.class,
              refused -> assertThat(refused.code()).isEqualTo(ErrorCode.NOT_PERMITTED));
    }
  }

  @Test
  void the_logs_refuse_to_be_changed_even_by_their_owner() throws SQLException {
    queue.handler("immutable", "immutable.event");
    operator.cancel(queue.emit("immutable.event"), Optional.empty(), "r");
    for (String table : List.of("cortex.attempts", "cortex.operator_actions")) {
      for (String change : List.of("delete from " + table, "truncate " + table)) {
        assertThatThrownBy(() -> queue.run(change))
            .as(change)
            .isInstanceOf(SQLException.class)
            .hasMessageContaining("only grows");
      }
    }
    assertThatThrownBy(() -> queue.run("update cortex.attempts set reason = 'x'"))
        .hasMessageContaining("only grows");
    assertThatThrownBy(() -> queue.run("update cortex.operator_actions set reason = 'x'"))
        .hasMessageContaining("only grows");
  }

  @Test
  void interleaving_15_retry_redrive_and_resume_wake_the_sleepers_of_their_handler()
      throws SQLException {
    queue.handler("sleeper", "sleeper.event");
    String event = queue.emit("sleeper.event");
    String id = queue.text("select handler_id from cortex.handlers where name = 'sleeper'");
    try (Connection sleeper = queue.connection()) {
      TestQueue.run(sleeper, "listen cortex_wake");
      queue.kill("sleeper");
      operator.retry(event, "sleeper", "r");
      assertWoken(sleeper, id);
      queue.kill("sleeper");
      operator.redrive("sleeper", Optional.empty(), 1, "r");
      assertWoken(sleeper, id);
      operator.pauseHandler("sleeper", "r");
      operator.resumeHandler("sleeper", "r");
      assertWoken(sleeper, id);
    }
  }

  private static void assertWoken(Connection sleeper, String handlerId) throws SQLException {
    PGNotification[] woken =
        sleeper
            .unwrap(PGConnection.class)
            .getNotifications((int) Duration.ofSeconds(10).toMillis());
    assertThat(woken).extracting(PGNotification::getParameter).contains(handlerId);
  }

  @Test
  void a_paused_handler_is_shown_as_paused_until_it_is_resumed() throws SQLException {
    queue.handler("paused", "paused.event");
    operator.pauseHandler("paused", "maintenance");
    assertThat(status("paused").pausedAt()).isPresent();
    operator.resumeHandler("paused", "done");
    assertThat(status("paused").pausedAt()).isEmpty();
  }

  private HandlerStatus status(String handler) {
    return operator.handlers().stream()
        .filter(status -> status.name().equals(handler))
        .findFirst()
        .orElseThrow();
  }

  private static void assertRefused(Runnable verb, ErrorCode code, String field, String rule) {
    assertThatThrownBy(verb::run)
        .isInstanceOfSatisfying(
            OperationRefusedException.class,
            refused -> {
              assertThat(refused.code()).isEqualTo(code);
              assertThat(refused.field()).isEqualTo(field);
              assertThat(refused.rule()).isEqualTo(rule);
            });
  }
}
