package dev.cortex.events.spool;

import dev.cortex.events.event.Defect;
import dev.cortex.events.event.Envelope;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A line of a spool file, which is JSON for people and programs to read:
 *
 * <pre>{"spool":1,"sum":10407885358211,"event":{"event_id":"evt_…", …}}</pre>
 *
 * The sum is that of the event's text as it stands there, character by character: {@code sum = (sum
 * * 257 + character + 1) mod (2^44 - 17)}, from 0. Any one character that changes changes it, and
 * arithmetic of 53 bits computes it, which is all that jq has. The shell writes the same lines.
 */
final class SpoolLine {
  private static final long FACTOR = 257;
  private static final long MODULUS = (1L << 44) - 17;
  private static final Pattern FORM =
      Pattern.compile("\\{\"spool\":1,\"sum\":([0-9]{1,14}),\"event\":(\\{.*})}", Pattern.DOTALL);

  private SpoolLine() {}

  /** The line of an event, which has an id and a time, with its line break. */
  static byte[] write(EventDraft draft) {
    String event = Envelope.write(draft);
    return "{\"spool\":1,\"sum\":%d,\"event\":%s}\n"
        .formatted(sum(event), event)
        .getBytes(StandardCharsets.UTF_8);
  }

  /**
   * The event of a line, without its line break.
   *
   * @throws InvalidEventException when the line is damaged, or whole and its event breaks a rule
   */
  static EventDraft read(byte[] line) {
    Matcher whole = FORM.matcher(decoded(line));
    if (!whole.matches()) {
      throw damaged("must be a whole line of a spool");
    }
    String event = whole.group(2);
    if (sum(event) != Long.parseLong(whole.group(1))) {
      throw damaged("must have the sum that its line states");
    }
    return Envelope.readArchived(event);
  }

  static long sum(String event) {
    return event
        .codePoints()
        .asLongStream()
        .reduce(0, (sum, character) -> (sum * FACTOR + character + 1) % MODULUS);
  }

  private static String decoded(byte[] line) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line)).toString();
    } catch (CharacterCodingException e) {
      throw damaged("must be valid UTF-8");
    }
  }

  private static InvalidEventException damaged(String rule) {
    return new InvalidEventException(Defect.DAMAGED_LINE, "event", rule);
  }
}
