package dev.cortex.events.outbox;

import dev.cortex.events.event.Defect;
import dev.cortex.events.event.Envelope;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Json;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.Optional;
import java.util.Set;

/** Reads a document of an archive as an event: an envelope, or else an older line. */
final class ArchivedEvent {
  private static final Set<Defect> NO_ENVELOPE =
      EnumSet.of(Defect.MISSING_FIELD, Defect.NOT_AN_EVENT);

  private static final DateTimeFormatter SECOND =
      DateTimeFormatter.ofPattern("uuuuMMdd_HHmmss").withZone(ZoneOffset.UTC);

  /** Stands in the id of a line that does not say when it was written. */
  private static final String NO_SECOND = "00000000_000000";

  private static final int SUFFIX_DIGITS = 24;

  private ArchivedEvent() {}

  static EventDraft read(Document document, Optional<OlderLines> olderLines) {
    if (document.isCut()) {
      throw new InvalidEventException(Defect.TOO_LARGE, "event", "is larger than any event may be");
    }
    try {
      return Envelope.readArchived(document.bytes());
    } catch (InvalidEventException e) {
      if (olderLines.isPresent() && document.isObject() && isNoEnvelope(e)) {
        return olderLine(document, olderLines.get());
      }
      throw e;
    }
  }

  private static boolean isNoEnvelope(InvalidEventException refused) {
    return NO_ENVELOPE.contains(refused.defect()) || refused.field().equals("type");
  }

  private static EventDraft olderLine(Document document, OlderLines as) {
    EventDraft draft = Envelope.readOlder(document.bytes(), as.type(), as.source());
    return draft.withEventId(
        "evt_" + draft.occurredAt().map(SECOND::format).orElse(NO_SECOND) + "_" + suffix(draft));
  }

  /** The same for the same content, so that a second import finds the first one's event. */
  private static String suffix(EventDraft draft) {
    String content =
        draft.type()
            + '\n'
            + draft.source()
            + '\n'
            + draft.payload().map(Json::tree).map(Object::toString).orElse("");
    try {
      byte[] digest =
          MessageDigest.getInstance("SHA-256").digest(content.getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(digest).substring(0, SUFFIX_DIGITS);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }
}
