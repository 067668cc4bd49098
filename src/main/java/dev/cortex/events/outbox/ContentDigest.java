package dev.cortex.events.outbox;

import com.fasterxml.jackson.databind.JsonNode;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;

/** What two events of one id must have in common to be one event, as the fan-out compares them. */
final class ContentDigest {
  private ContentDigest() {}

  static String of(EventDraft draft) {
    StringBuilder content = new StringBuilder();
    content.append(draft.type()).append('\n').append(draft.source()).append('\n');
    content.append(draft.correlationId()).append('\n').append(draft.key()).append('\n');
    draft.payload().map(Json::tree).ifPresent(payload -> append(content, payload));
    try {
      byte[] bytes = content.toString().getBytes(StandardCharsets.UTF_8);
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }

  /** Equal for equal JSON values: members in the order of their names, numbers by their value. */
  private static void append(StringBuilder content, JsonNode value) {
    if (value.isObject()) {
      Map<String, JsonNode> members = new TreeMap<>();
      value.properties().forEach(member -> members.put(member.getKey(), member.getValue()));
      members.forEach(
          (name, member) -> {
            content.append(name.length()).append(name).append('{');
            append(content, member);
          });
      content.append('}');
    } else if (value.isArray()) {
      value.forEach(
          element -> {
            content.append('[');
            append(content, element);
          });
      content.append(']');
    } else if (value.isNumber()) {
      content.append(value.decimalValue().stripTrailingZeros()).append(',');
    } else {
      content.append(value).append(',');
    }
  }
}
