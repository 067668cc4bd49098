package dev.cortex.events.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.event.EventDraft;
import java.nio.file.Path;
import java.time.Clock;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class DaemonEventsTest {
  @TempDir private Path directory;

  @Test
  void what_could_not_be_emitted_when_it_is_closed_is_kept_each_once() throws Exception {
    List<String> kept = Collections.synchronizedList(new ArrayList<>());
    CountDownLatch tried = new CountDownLatch(1);
    try (DaemonEvents events =
        events(
            draft -> {
              tried.countDown();
              throw new IllegalStateException("the database is away");
            },
            draft -> kept.add(draft.type()))) {
      events.started("pm", 1, 0);
      events.stopped("pm", 1, "asked to stop");
      assertThat(tried.await(30, TimeUnit.SECONDS)).isTrue();
    }
    assertThat(kept).containsExactly("daemon.started", "daemon.stopped");
  }

  @Test
  void what_was_emitted_is_not_kept() {
    List<EventDraft> emitted = Collections.synchronizedList(new ArrayList<>());
    List<EventDraft> kept = Collections.synchronizedList(new ArrayList<>());
    try (DaemonEvents events = events(emitted::add, kept::add)) {
      events.started("pm", 1, 0);
    }
    assertThat(emitted).extracting(EventDraft::type).containsExactly("daemon.started");
    assertThat(kept).isEmpty();
  }

  private DaemonEvents events(DaemonEvents.Emitter emitter, DaemonEvents.Emitter keeper) {
    return new DaemonEvents(
        "test",
        new DaemonEvents.Host("here", directory),
        Optional.empty(),
        emitter,
        keeper,
        Clock.systemUTC());
  }
}
