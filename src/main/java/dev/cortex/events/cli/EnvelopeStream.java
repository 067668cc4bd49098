package dev.cortex.events.cli;

import dev.cortex.events.event.Envelope;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * Emits envelopes as they come in, one to a line. Each line has a fate of its own: a bad one is
 * reported with its number, a good one committed and its id printed, by the chunk or as soon as the
 * input pauses. What is printed is durable.
 */
final class EnvelopeStream {
  private static final int CHUNK = 500;

  /** Of many large ones a chunk holds fewer. */
  private static final long CHUNK_BYTES = 8L * 1024 * 1024;

  /** Without a line for so long, what is there is committed. */
  private static final long PAUSE_MS = 20;

  /** A good envelope and where it stood. */
  private record Numbered(long line, EventDraft draft) {}

  private final Console console;
  private final Emission emission;
  private final List<Numbered> chunk = new ArrayList<>();
  private long chunkBytes;
  private long rejected;

  EnvelopeStream(Console console, Emission emission) {
    this.console = console;
    this.emission = emission;
  }

  /**
   * Reads to the end.
   *
   * @return how many lines were rejected
   */
  long emitAll() throws InterruptedException {
    InputLines lines = InputLines.of(console.in());
    boolean hasEnded = false;
    while (!hasEnded) {
      Optional<InputLines.Line> next = lines.next(PAUSE_MS, TimeUnit.MILLISECONDS);
      if (next.isEmpty()) {
        emitChunk();
      } else if (next.get() instanceof InputLines.Text text) {
        take(text);
      } else {
        emitChunk();
        failUnread(next.get());
        hasEnded = true;
      }
    }
    return rejected;
  }

  private static void failUnread(InputLines.Line last) {
    if (last instanceof InputLines.Broken broken) {
      if (broken.error() instanceof InvalidEventException refusal) {
        throw refusal;
      }
      if (broken.error() instanceof IOException unreadable) {
        throw new UnreadableInputException("standard input", unreadable);
      }
      throw new IllegalStateException("standard input could not be read ahead", broken.error());
    }
  }

  private void take(InputLines.Text line) {
    try {
      if (!line.isBlank()) {
        chunk.add(new Numbered(line.number(), Envelope.read(line.bytes())));
        chunkBytes += line.bytes().length;
      }
    } catch (InvalidEventException e) {
      reject(line.number(), e);
    }
    if (chunk.size() >= CHUNK || chunkBytes >= CHUNK_BYTES) {
      emitChunk();
    }
  }

  private void emitChunk() {
    if (chunk.isEmpty()) {
      return;
    }
    try {
      emission.emitAll(chunk.stream().map(Numbered::draft).toList()).forEach(console::print);
    } catch (InvalidEventException e) {
      emitEach();
    }
    chunk.clear();
    chunkBytes = 0;
    console.out().flush();
  }

  /** One by one, to find out which of them the database refuses. */
  private void emitEach() {
    for (Numbered one : chunk) {
      try {
        emission.emitAll(List.of(one.draft())).forEach(console::print);
      } catch (InvalidEventException e) {
        reject(one.line(), e);
      }
    }
  }

  private void reject(long line, InvalidEventException refusal) {
    rejected++;
    console.remark("line " + line + ": " + ErrorReport.message(refusal));
  }
}
