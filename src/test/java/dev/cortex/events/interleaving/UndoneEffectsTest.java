package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Effects persist with done only, in a shared batch too. */
@ExtendWith(PostgresExtension.class)
class UndoneEffectsTest {
  private static final String TYPE = "test.undone";
  private static final Duration LONG = Duration.ofHours(1);

  private final TestEngine engine;

  UndoneEffectsTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  static Stream<Arguments> outcomes() {
    return Stream.of(
        outcome("retry", () -> Outcome.retryIn(LONG, "later")),
        outcome("snooze", () -> Outcome.snooze(LONG)),
        outcome("dead", () -> Outcome.dead("never")),
        outcome("cancel", () -> Outcome.cancel("no need")));
  }

  private static Arguments outcome(String name, Supplier<Outcome> outcome) {
    return Arguments.of(name, outcome);
  }

  /**
   * The third of seven events writes, emits, and is not done; the second attempt would write again.
   */
  @ParameterizedTest(name = "{0}")
  @MethodSource("outcomes")
  void interleaving_7_nothing_that_the_handler_wrote_or_emitted_persists(
      String name, Supplier<Outcome> outcome) throws Exception {
    engine.subscribe("undone", TYPE);
    engine.subscribe("next", TYPE + ".next");
    engine.emit(TYPE, 7);
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "undone",
                (event, context) -> {
                  TestEngine.effect("undone", event, context);
                  context.emit(EventDraft.of(TYPE + ".next", "undone"));
                  return TestEngine.n(event) == 2 ? outcome.get() : Outcome.done();
                })
            .on(TYPE);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(definition));
      engine.awaitNumber(7, "select count(*) from cortex.attempts");
    }
    assertThat(engine.rows("select count(*) || ' ' || count(distinct event_id) from effects"))
        .containsExactly("6 6");
    assertThat(engine.number("select count(*) from cortex.events where type = ?", TYPE + ".next"))
        .isEqualTo(6);
    assertThat(
            engine.rows(
                """
                select a.outcome || ' ' || (e.payload ->> 'n')
                  from cortex.attempts a join cortex.events e on e.id = a.event
                 where a.outcome <> 'done'
                """))
        .containsExactly(name + " 2");
  }
}
