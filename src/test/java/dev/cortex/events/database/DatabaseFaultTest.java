package dev.cortex.events.database;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.sql.SQLException;
import java.sql.SQLTransientConnectionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DatabaseFaultTest {
  @ParameterizedTest
  @CsvSource({
    "40001, CONTENTION",
    "40P01, CONTENTION",
    "55P03, CONTENTION",
    "08000, CONNECTION_LOST",
    "08001, CONNECTION_LOST",
    "08006, CONNECTION_LOST",
    "57P01, CONNECTION_LOST",
    "57P02, CONNECTION_LOST",
    "57P03, CONNECTION_LOST",
    "57P05, CONNECTION_LOST",
    "25006, CONNECTION_LOST",
    "40003, CONNECTION_LOST",
    "53100, EXHAUSTED",
    "53200, EXHAUSTED",
    "53300, EXHAUSTED",
    "58030, EXHAUSTED",
    "25P03, TRANSACTION_TIMEOUT",
    "25P04, TRANSACTION_TIMEOUT",
    "57014, STATEMENT_CANCELLED",
    "22P02, REJECTED",
    "22P05, REJECTED",
    "23505, REJECTED",
    "23514, REJECTED",
    "54001, REJECTED",
    "40002, REJECTED",
    "42501, ACCESS_DENIED",
    "28000, ACCESS_DENIED",
    "28P01, ACCESS_DENIED",
    "08004, ACCESS_DENIED",
    "3D000, OTHER",
    "42601, OTHER",
    "25P02, OTHER",
    "P0001, OTHER",
    "XX000, OTHER"
  })
  void a_state_has_one_meaning(String state, DatabaseFault fault) {
    assertThat(DatabaseFault.of(new SQLException("said", state))).contains(fault);
  }

  @ParameterizedTest
  @CsvSource({
    "CONTENTION, false, false",
    "CONNECTION_LOST, false, true",
    "EXHAUSTED, false, true",
    "TRANSACTION_TIMEOUT, true, false",
    "STATEMENT_CANCELLED, true, false",
    "REJECTED, true, false",
    "ACCESS_DENIED, true, false",
    "OTHER, true, false"
  })
  void only_what_the_handler_did_costs_an_attempt(
      DatabaseFault fault, boolean costsAttempt, boolean isAbsence) {
    assertThat(fault.costsAttempt()).isEqualTo(costsAttempt);
    assertThat(fault.isAbsence()).isEqualTo(isAbsence);
  }

  @Test
  void the_chain_of_causes_is_followed() {
    SQLException deadlock = new SQLException("said", "40P01");
    Throwable wrapped =
        new IllegalStateException(new SQLException("batch", "P0001", new IOException(deadlock)));
    assertThat(DatabaseFault.of(wrapped)).contains(DatabaseFault.CONTENTION);
  }

  @Test
  void a_chain_that_bites_its_tail_ends() {
    Exception first = new Exception();
    first.initCause(new Exception(first));
    assertThat(DatabaseFault.of(first)).isEmpty();
  }

  @Test
  void an_error_without_a_database_is_no_fault_of_one() {
    assertThat(DatabaseFault.of(new IOException("40001"))).isEmpty();
  }

  @Test
  void a_pool_that_found_no_connection_has_lost_it() {
    assertThat(DatabaseFault.of(new SQLTransientConnectionException("said")))
        .contains(DatabaseFault.CONNECTION_LOST);
  }
}
