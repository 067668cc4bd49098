package dev.cortex.events.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.cortex.events.telemetry.EngineEvent.AttemptSettled;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** What a worker's log says of attempts, at the level that it has unless asked for more. */
class LogTelemetryTest {
  private final Logger logger = (Logger) LoggerFactory.getLogger("dev.cortex.events");
  private final ListAppender<ILoggingEvent> lines = new ListAppender<>();
  private final AtomicLong now = new AtomicLong(Long.MAX_VALUE);
  private final LogTelemetry telemetry = new LogTelemetry(now::get);

  @BeforeEach
  void listen() {
    lines.start();
    logger.addAppender(lines);
  }

  @AfterEach
  void stopListening() {
    logger.detachAppender(lines);
  }

  @Test
  void a_handler_that_fails_again_and_again_is_told_once_a_minute() {
    settled("mailer", 1, "retry");
    settled("mailer", 2, "retry");
    settled("mailer", 3, "crash");
    settled("other", 1, "retry");
    assertThat(warnings())
        .containsExactly(
            "attempt_settled handler=mailer event_id=evt_1 attempt=1 outcome=retry reason=handler_failed delay_ms=1000",
            "attempt_settled handler=other event_id=evt_1 attempt=1 outcome=retry reason=handler_failed delay_ms=1000");
    now.addAndGet(Duration.ofMinutes(1).toNanos());
    settled("mailer", 4, "retry");
    assertThat(warnings()).hasSize(3).last().asString().contains("attempt=4");
  }

  @Test
  void what_a_handler_asks_for_is_no_warning_and_each_dead_letter_is_one() {
    settled("mailer", 1, "snooze");
    settled("mailer", 1, "cancel");
    assertThat(warnings()).isEmpty();
    settled("mailer", 5, "dead");
    settled("mailer", 5, "dead");
    assertThat(warnings()).hasSize(2);
  }

  private void settled(String handler, int attempt, String outcome) {
    telemetry.record(
        new AttemptSettled(
            handler, "evt_1", attempt, outcome, "handler_failed", Duration.ofSeconds(1)));
  }

  private List<String> warnings() {
    return lines.list.stream()
        .filter(line -> line.getLevel().equals(Level.WARN))
        .map(ILoggingEvent::getFormattedMessage)
        .toList();
  }
}
