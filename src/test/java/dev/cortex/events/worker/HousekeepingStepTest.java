package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.telemetry.Telemetry;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What a worker asks of the database from the side, counted. */
@ExtendWith(PostgresExtension.class)
class HousekeepingStepTest {
  private final TestDatabase database;
  private final List<String> statements = new ArrayList<>();

  HousekeepingStepTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void no_type_is_on_its_way() throws SQLException {
    try (Connection connection = database.connection()) {
      connection.createStatement().execute("delete from cortex.held_types");
    }
  }

  @Test
  void a_round_of_a_worker_with_nothing_to_do_is_one_statement() throws SQLException {
    HousekeepingStep step = step();

    step.take();

    assertThat(statements)
        .as("the partitions are made at the start and every six hours")
        .hasSize(2)
        .first()
        .asString()
        .contains("cortex.keep_house");
    assertThat(statements.get(1)).contains("cortex.create_partitions");
  }

  @Test
  void between_two_rounds_a_worker_with_nothing_to_show_asks_nothing() throws SQLException {
    HousekeepingStep step = step();
    step.take();
    statements.clear();

    step.take();

    assertThat(statements).isEmpty();
  }

  @Test
  void a_type_that_is_on_its_way_is_moved_on_by_a_statement_of_its_own() throws SQLException {
    try (Connection connection = database.connection()) {
      connection
          .createStatement()
          .execute("insert into cortex.held_types (type) select min(type) from cortex.event_types");
    }

    step().take();

    assertThat(statements).anySatisfy(sql -> assertThat(sql).contains("cortex.move_held"));
  }

  private HousekeepingStep step() {
    DataSource pool = counting(database.dataSource());
    WorkerStore store = new WorkerStore();
    Caution caution = new Caution(pool, store, 1, false);
    return new HousekeepingStep(
        pool,
        store,
        new HouseStore(),
        List.of(new Slot((short) 1)),
        caution,
        Telemetry.silent(),
        1,
        () -> {});
  }

  /** The same connections, but that their statements are noted. */
  private DataSource counting(DataSource pool) {
    return proxy(
        DataSource.class,
        pool,
        result -> result instanceof Connection connection ? counting(connection) : result);
  }

  private Connection counting(Connection connection) {
    return proxy(Connection.class, connection, result -> result);
  }

  private <T> T proxy(Class<T> type, T target, java.util.function.Function<Object, Object> answer) {
    return type.cast(
        Proxy.newProxyInstance(
            getClass().getClassLoader(),
            new Class<?>[] {type},
            (self, method, arguments) -> {
              if (method.getName().equals("prepareStatement")) {
                statements.add(String.valueOf(arguments[0]));
              }
              try {
                Object result = method.invoke(target, arguments);
                return result == null ? null : answer.apply(result);
              } catch (InvocationTargetException e) {
                throw e.getCause();
              }
            }));
  }
}
