package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition.OneByOne;
import java.sql.SQLException;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class DaemonStartsTest {
  private final TestFleet fleet;

  DaemonStartsTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
    fleet.run("update cortex.handlers set paused_at = null");
  }

  @Test
  void a_daemon_whose_handlers_are_at_work_is_started_in_answer_to_each_request() throws Exception {
    request("{\"daemon\": \"heartbeat-monitor\"}");
    request("{\"daemon_name\": \"heartbeat-monitor-daemon.sh\"}");
    fleet.handle();

    assertThat(life())
        .containsExactlyInAnyOrder(
            "heartbeat-monitor requested",
            "heartbeat-monitor-daemon.sh requested",
            "heartbeat-monitor started",
            "heartbeat-monitor started");
    assertThat(
            fleet.rows(
                "select l.what from fleet.daemon_life l join fleet.daemon_life r on r.event_id = l.causation_id"
                    + " where r.what = 'requested'"))
        .containsExactly("started", "started");
  }

  /** Each locks rows in the order of its events, so two batches could wait for each other. */
  @Test
  void what_is_written_for_one_event_has_its_transaction_for_itself() {
    assertThat(FleetHandlers.all())
        .filteredOn(handler -> handler.work() instanceof OneByOne)
        .isNotEmpty()
        .allMatch(handler -> handler.maxBatch() == 1);
  }

  @Test
  void one_whose_handler_is_paused_is_refused_and_stays_paused() throws Exception {
    fleet.run("update cortex.handlers set paused_at = now() where name = 'stale-workers'");
    request("{\"daemon\": \"heartbeat-monitor\"}");
    fleet.handle();

    assertThat(life())
        .contains("heartbeat-monitor refused its handler stale-workers is paused")
        .doesNotContain("heartbeat-monitor started");
    assertThat(
            fleet.rows(
                "select name from cortex.handlers where name = 'stale-workers' and paused_at is not null"))
        .hasSize(1);
  }

  @Test
  void one_whose_handler_nobody_has_run_is_refused() throws Exception {
    fleet.run("update cortex.handlers set name = 'gone' where name = 'auto-fix'");
    request("{\"daemon\": \"auto-fix\"}");
    fleet.handle(
        FleetHandlers.all().stream().filter(one -> !one.name().equals("auto-fix")).toList());
    fleet.run("update cortex.handlers set name = 'auto-fix' where name = 'gone'");

    assertThat(life()).contains("auto-fix refused no worker has run its handler auto-fix yet");
  }

  @Test
  void no_event_starts_a_process_whatever_it_says() throws Exception {
    request("{\"daemon\": \"pm\", \"command\": \"/bin/touch /tmp/started-by-an-event\"}");
    fleet.handle();

    assertThat(life())
        .contains(
            "pm refused it is no daemon that is handlers; a process is started on its host, by `cortex daemon start`");
  }

  @Test
  void a_request_for_a_host_is_left_to_the_host() throws Exception {
    request("{\"daemon\": \"pm\", \"host\": \"host-7\"}");
    fleet.handle();

    assertThat(life()).containsExactly("pm requested");
    assertThat(fleet.rows("select reason from cortex.attempts where outcome = 'cancel'"))
        .hasSize(1);
  }

  @Test
  void a_request_that_names_no_daemon_is_a_dead_letter() throws Exception {
    request("{}");
    fleet.handle();

    assertThat(fleet.rows("select error from cortex.attempts where outcome = 'dead'"))
        .allMatch(error -> error.contains("payload.daemon must be given"))
        .hasSize(1);
  }

  private void request(String payload) throws SQLException {
    String unused =
        fleet.emit(EventDraft.of("system.daemon_start_requested", "test").withPayload(payload));
  }

  private List<String> life() throws SQLException {
    return fleet.rows("select concat_ws(' ', daemon, what, reason) from fleet.daemon_life");
  }
}
