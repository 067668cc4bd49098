package dev.cortex.events.daemon;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.EventId;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tells of daemons by events: daemon.started, daemon.stopped, daemon.start_refused. They are
 * emitted from a thread of its own, in order, each once: one that cannot be emitted now is tried
 * again until it is, so that a host that nobody drains a spool on tells in the end. What still
 * waits when this is closed and the time is up, and what would be more than 1,000 that wait, is
 * kept elsewhere.
 */
public final class DaemonEvents implements DaemonJournal, AutoCloseable {
  private static final int MAX_WAITING = 1_000;
  private static final Duration AGAIN = Duration.ofSeconds(5);
  private static final Duration LAST_CHANCE = Duration.ofSeconds(5);
  private static final Logger LOG = LoggerFactory.getLogger(DaemonEvents.class);

  /** Emits one event, on whatever database it is for. */
  public interface Emitter {
    /** Returns when it is committed. */
    void emit(EventDraft draft) throws Exception;
  }

  /**
   * Where the daemons are.
   *
   * @param name what the host is called
   * @param disk on the file system whose free space is told at a start
   */
  public record Host(String name, Path disk) {}

  private final String source;
  private final Host host;
  private final Optional<String> request;
  private final Emitter emitter;
  private final Emitter keeper;
  private final Clock clock;
  private final String run = UUID.randomUUID().toString();
  private final BlockingQueue<EventDraft> waiting = new LinkedBlockingQueue<>(MAX_WAITING);
  private final Thread thread = new Thread(this::emitAll, "cortex-daemon-events");
  private volatile boolean isClosing;
  private long told;

  /**
   * From now on.
   *
   * @param source who states it
   * @param request public id of the event that asked for it
   * @param keeper takes what the emitter could not emit, to be delivered by others
   */
  public DaemonEvents(
      String source,
      Host host,
      Optional<String> request,
      Emitter emitter,
      Emitter keeper,
      Clock clock) {
    this.source = source;
    this.host = host;
    this.request = request;
    this.emitter = emitter;
    this.keeper = keeper;
    this.clock = clock;
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public void started(String daemon, long pid, int restarts) {
    Map<String, Object> payload = payload(daemon);
    payload.put("pid", pid);
    payload.put("restarts", restarts);
    diskFreeMb().ifPresent(free -> payload.put("disk_free_mb", free));
    tell("daemon.started", payload);
  }

  @Override
  public void stopped(String daemon, long pid, String reason) {
    Map<String, Object> payload = payload(daemon);
    payload.put("pid", pid);
    payload.put("reason", reason);
    tell("daemon.stopped", payload);
  }

  @Override
  public void refused(String daemon, String reason) {
    Map<String, Object> payload = payload(daemon);
    payload.put("reason", reason);
    tell("daemon.start_refused", payload);
  }

  private Map<String, Object> payload(String daemon) {
    Map<String, Object> payload = new LinkedHashMap<>();
    payload.put("daemon", daemon);
    payload.put("host", host.name());
    return payload;
  }

  private OptionalLong diskFreeMb() {
    try {
      return OptionalLong.of(Files.getFileStore(host.disk()).getUsableSpace() / (1024 * 1024));
    } catch (IOException e) {
      return OptionalLong.empty();
    }
  }

  private synchronized void tell(String type, Map<String, Object> payload) {
    Instant now = clock.instant();
    EventDraft draft =
        EventDraft.of(type, source)
            .withEventId(EventId.random(now))
            .withOccurredAt(now)
            .withDedupeKey(run + ":" + ++told)
            .withPayload(Json.of(payload));
    EventDraft tied = request.isPresent() ? draft.withCorrelationId(request.get()) : draft;
    if (!waiting.offer(tied)) {
      keep(tied);
    }
  }

  private void emitAll() {
    try {
      while (true) {
        @Nullable EventDraft next = waiting.poll(100, TimeUnit.MILLISECONDS);
        if (next != null) {
          emit(next);
        } else if (isClosing) {
          return;
        }
      }
    } catch (InterruptedException e) {
      // The time is up.
    }
  }

  private void emit(EventDraft draft) throws InterruptedException {
    boolean hasFailed = false;
    while (true) {
      try {
        emitter.emit(draft);
        return;
      } catch (InvalidEventException e) {
        LOG.error("{} is told to nobody: {}", draft.type(), e.getMessage());
        return;
      } catch (InterruptedException e) {
        keep(draft);
        throw e;
      } catch (Exception e) {
        if (!hasFailed) {
          LOG.warn("{} waits to be emitted: {}", draft.type(), e.toString());
          hasFailed = true;
        }
      }
      try {
        TimeUnit.SECONDS.sleep(isClosing ? 1 : AGAIN.toSeconds());
      } catch (InterruptedException e) {
        keep(draft);
        throw e;
      }
    }
  }

  private void keep(EventDraft draft) {
    try {
      keeper.emit(draft);
    } catch (Exception e) {
      LOG.error("{} is told to nobody: {}", draft.type(), e.toString());
    }
  }

  /** Emits what waits, for at most five seconds, and has the rest kept. */
  @Override
  public void close() {
    isClosing = true;
    try {
      thread.join(LAST_CHANCE.toMillis());
      thread.interrupt();
      thread.join(LAST_CHANCE.toMillis());
      for (@Nullable EventDraft left = waiting.poll(); left != null; left = waiting.poll()) {
        keep(left);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
