package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Events that are too old when their turn comes. */
@ExtendWith(PostgresExtension.class)
class ExpiryTest {
  private static final String TYPE = "test.expiry";
  private static final String HANDLER = "expiring";

  private final TestEngine engine;

  ExpiryTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  static Stream<Arguments> shapes() {
    return Stream.of(
        shape(
            "one by one",
            seen ->
                HandlerDefinition.oneByOne(
                    HANDLER,
                    (event, context) -> {
                      seen.accept(event);
                      return Outcome.done();
                    })),
        shape(
            "ordered",
            seen ->
                HandlerDefinition.oneByOne(
                        HANDLER,
                        (event, context) -> {
                          seen.accept(event);
                          return Outcome.done();
                        })
                    .ordered()),
        shape(
            "batch",
            seen -> HandlerDefinition.batch(HANDLER, (events, context) -> events.forEach(seen))),
        shape(
            "leased",
            seen ->
                HandlerDefinition.leased(
                    HANDLER,
                    (event, context) -> {
                      seen.accept(event);
                      return Outcome.done();
                    })));
  }

  private static Arguments shape(
      String name, Function<Consumer<Event>, HandlerDefinition> definition) {
    return Arguments.of(name, definition);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("shapes")
  void an_event_older_than_the_maximum_age_is_dead_before_it_runs(
      String name, Function<Consumer<Event>, HandlerDefinition> shape) throws Exception {
    List<Integer> seen = Collections.synchronizedList(new ArrayList<>());
    HandlerDefinition definition =
        shape
            .apply(event -> seen.add(TestEngine.n(event)))
            .on(TYPE)
            .withRetry(RetryPolicy.defaults().withMaxAge(Duration.ofMinutes(1)));
    engine.run("insert into cortex.event_types (type) values (?) on conflict do nothing", TYPE);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(definition)).close();
      engine.emit(TYPE, 3);
      // As if its event had come long ago; the log itself is never changed.
      engine.runAsSuperuser(
          "set session_replication_role = replica;"
              + " update cortex.events set received_at = received_at - interval '2 minutes'"
              + " where payload ->> 'n' = '1';"
              + " update cortex.deliveries d set event_at = e.received_at from cortex.events e"
              + " where e.id = d.event");
      cortex.work(List.of(definition));
      engine.awaitNumber(3, "select count(*) from cortex.attempts");
    }
    assertThat(seen).containsExactlyInAnyOrder(0, 2);
    assertThat(engine.rows(TestEngine.ATTEMPTS, HANDLER))
        .containsExactly("0 done 1", "1 dead 1 expired", "2 done 1");
    assertThat(engine.number("select count(*) from cortex.deliveries where run_at = 'infinity'"))
        .isEqualTo(1);
  }
}
