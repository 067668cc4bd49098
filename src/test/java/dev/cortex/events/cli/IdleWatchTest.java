package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.DedicatedPostgres;
import dev.cortex.events.database.PostgresExtension;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class IdleWatchTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final DedicatedPostgres server;
  private final DatabaseAddress address;
  private final IdleWatch watch;

  IdleWatchTest(DedicatedPostgres server) {
    this.server = server;
    this.address = server.database().address();
    this.watch = new IdleWatch(address, Duration.ofMinutes(10));
  }

  @BeforeEach
  void nobody_is_left() {
    await().atMost(PATIENCE).until(() -> !watch.isUsed());
  }

  @Test
  void a_session_of_whatever_login_is_use() throws SQLException {
    try (Connection session = address.dataSource().getConnection()) {
      assertThat(session.isValid(0)).isTrue();
      assertThat(watch.isUsed()).isTrue();
    }
    DatabaseAddress superuser = server.database().superuserAddress();
    try (Connection session = superuser.dataSource().getConnection()) {
      assertThat(session.isValid(0)).isTrue();
      assertThat(watch.isUsed()).isTrue();
    }
  }

  @Test
  void holders_are_no_use_to_each_other() throws SQLException {
    try (Connection holder =
        address.withApplicationName(IdleWatch.HOLDER).dataSource().getConnection()) {
      assertThat(holder.isValid(0)).isTrue();
      assertThat(watch.isUsed()).isFalse();
    }
  }

  @Test
  void a_server_that_is_away_is_not_used_and_watched_again_when_it_is_back() throws SQLException {
    server.stop();
    try {
      assertThat(watch.isUsed()).isFalse();
    } finally {
      server.startAgain();
    }
    try (Connection session = address.dataSource().getConnection()) {
      assertThat(session.isValid(0)).isTrue();
      assertThat(watch.isUsed()).isTrue();
    }
  }

  @Test
  void a_request_to_stop_ends_the_watch() throws InterruptedException {
    try (StopSignals stop = StopSignals.listen()) {
      stop.ask();
      watch.await(stop);
      assertThat(stop.isAsked()).isTrue();
    }
  }
}
