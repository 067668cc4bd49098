package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import java.sql.SQLException;
import java.time.Instant;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@ExtendWith(PostgresExtension.class)
class SecurityTest {
  private static final Instant START = Instant.parse("2026-01-01T00:00:00Z");
  private static final String FOUND =
      "select concat_ws(' ', source, priority, payload ->> 'title') from cortex.event_log"
          + " where type = 'security.vulnerability_found' order by id";

  private final TestFleet fleet;

  SecurityTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{'findings': {'critical': 1, 'high': 2, 'medium': 4, 'low': 9}} | 1 2 4 9 63",
        "{'critical': '2', 'low': 1} | 2 0 0 1 79",
        "{'findings': [{'severity': 'HIGH'}, {'severity': 'low'}, {'severity': 'low'}]} | 0 1 0 2 93",
        "{'finding_count': 3, 'severity': 'medium'} | 0 0 3 0 94",
        "{'vulnerabilities': 20, 'severity': 'critical'} | 20 0 0 0 0",
        "{'findings': {}} | 0 0 0 0 100",
        "{'findings': [], 'severity': 'critical'} | 0 0 0 0 100",
        "{'findings': [], 'severity': 'low', 'finding_count': 0} | 0 0 0 0 100",
        "{'findings': 'nothing found', 'severity': 'high'} | 0 0 0 0 100",
        "{'findings': 'see the report', 'finding_count': '2', 'severity': 'high'} | 0 2 0 0 90",
        "{'findings': ['CVE-1', null, 'CVE-2'], 'severity': 'high'} | 0 2 0 0 90",
        "{'findings': ['CVE-1', {'severity': 'low'}]} | 0 0 0 1 99",
        "{'findings': {'critical': 'none', 'low': 1}} | 0 0 0 1 99",
      })
  void a_scan_is_counted_by_severity_however_it_says_it_and_scored(String payload, String row)
      throws Exception {
    fleet.emit(
        EventDraft.of("security.scan_completed", "security-master")
            .withPayload(payload.replace('\'', '"')));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', critical, high, medium, low, score)"
                    + " from fleet.security_posture where target = 'security-master'"))
        .containsExactly(row);
  }

  @Test
  void the_newest_scan_of_each_target_counts_and_all_targets_together() throws Exception {
    scan("billing", 60, "\"high\": 1");
    scan("billing", 0, "\"high\": 9");
    scan("shop", 30, "\"low\": 3");
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', target, score) from fleet.security_posture order by target"))
        .containsExactlyInAnyOrder("* 92", "billing 95", "shop 97");
  }

  @Test
  void a_scan_and_a_vulnerability_of_2099_hide_none_that_come_later() throws Exception {
    fleet.emit(ahead("security.scan_completed", "{\"target\": \"billing\", \"critical\": 1}"));
    fleet.emit(ahead("security.vulnerability_found", "{\"severity\": \"critical\"}"));
    fleet.emit(ahead("system.health_alert", "{\"alert_type\": \"disk\"}"));
    fleet.emit(ahead("task.failed", "{\"task_id\": \"t-1\"}"));
    fleet.handle();
    fleet.emit(
        EventDraft.of("security.scan_completed", "s").withPayload("{\"target\": \"billing\"}"));
    fleet.handle();

    assertThat(fleet.rows("select score from fleet.security_posture where target = 'billing'"))
        .containsExactly("100");
    assertThat(
            fleet.rows("select target from fleet.remediations where closed_at is null order by 1"))
        .containsExactly("ahead");
    assertThat(
            fleet.rows(
                "select 1 from fleet.alerts where raised_at > now()"
                    + " union all select 2 from fleet.task_outcomes where finished_at > now()"
                    + " union all select 3 from fleet.vulnerabilities where found_at > now()"))
        .isEmpty();
  }

  private static EventDraft ahead(String type, String payload) {
    return EventDraft.of(type, "ahead")
        .withPayload(payload)
        .withOccurredAt(Instant.parse("2099-01-01T00:00:00Z"));
  }

  @Test
  void critical_findings_emit_one_vulnerability_open_a_remediation_and_others_do_not()
      throws Exception {
    scan("billing", 0, "\"critical\": 2, \"high\": 1");
    scan("shop", 0, "\"high\": 5");
    fleet.handle();

    assertThat(fleet.rows(FOUND))
        .containsExactly("security-scans critical 2 critical findings in billing");
    assertThat(
            fleet.rows("select concat_ws(' ', target, title, closed_at) from fleet.remediations"))
        .containsExactly("billing 2 critical findings in billing");
  }

  @Test
  void a_remediation_is_closed_by_the_next_scan_without_a_critical_finding() throws Exception {
    scan("billing", 0, "\"critical\": 1");
    scan("billing", 60, "\"critical\": 1");
    scan("billing", 120, "\"low\": 1");
    fleet.handle();

    assertThat(fleet.rows("select closed_at = '2026-01-01 00:02Z' from fleet.remediations"))
        .containsExactly("t");
  }

  @Test
  void a_target_has_one_remediation_open_however_often_the_same_is_found() throws Exception {
    for (int day = 0; day < 5; day++) {
      scan("billing", day * 86_400, "\"critical\": " + (day + 1));
    }
    scan("shop", 0, "\"critical\": 1");
    fleet.handle();
    assertThat(
            fleet.rows(
                "select concat_ws(' ', target, title, opened_at at time zone 'UTC', closed_at, vulnerabilities)"
                    + " from fleet.remediations order by target"))
        .containsExactly(
            "billing 5 critical findings in billing 2026-01-01 00:00:00 5",
            "shop 1 critical findings in shop 2026-01-01 00:00:00 1");

    scan("billing", 6 * 86_400, "\"critical\": 0");
    scan("billing", 7 * 86_400, "\"critical\": 1");
    fleet.handle();
    assertThat(
            fleet.rows(
                "select concat_ws(' ', closed_at at time zone 'UTC', vulnerabilities)"
                    + " from fleet.remediations where target = 'billing' order by opened_at"))
        .containsExactly("2026-01-07 00:00:00 5", "1");
  }

  @Test
  void of_an_open_remediation_what_opened_it_is_kept_for_as_long_as_it_takes() throws Exception {
    for (int day = 0; day < 5; day++) {
      scan("billing", day * 86_400, "\"critical\": 1");
    }
    fleet.handle();
    fleet.run("update fleet.vulnerabilities set received_at = received_at - interval '91 days'");
    fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));
    fleet.handle();

    assertThat(fleet.rows("select found_at at time zone 'UTC' from fleet.vulnerabilities"))
        .containsExactly("2026-01-01 00:00:00");
    assertThat(fleet.rows("select target from fleet.remediations where closed_at is null"))
        .containsExactly("billing");
  }

  @Test
  void the_last_ten_critical_vulnerabilities_are_at_hand() throws Exception {
    for (int i = 1; i <= 12; i++) {
      vulnerability("critical", "leak " + i, i);
      vulnerability("high", "hole " + i, i);
    }
    fleet.handle();

    assertThat(fleet.rows("select title from fleet.threats"))
        .hasSize(10)
        .startsWith("leak 12", "leak 11")
        .endsWith("leak 3");
  }

  private void scan(String target, int second, String findings) throws SQLException {
    fleet.emit(
        EventDraft.of("security.scan_completed", "security-master")
            .withPayload("{\"target\": \"%s\", \"findings\": {%s}}".formatted(target, findings))
            .withOccurredAt(START.plusSeconds(second)));
  }

  private void vulnerability(String severity, String title, int second) throws SQLException {
    fleet.emit(
        EventDraft.of("security.vulnerability_found", "threat-intel")
            .withPayload(
                "{\"severity\": \"%s\", \"description\": \"%s\"}".formatted(severity, title))
            .withOccurredAt(START.plusSeconds(second)));
  }
}
