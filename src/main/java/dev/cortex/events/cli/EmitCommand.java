package dev.cortex.events.cli;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.cortex.events.event.Defect;
import dev.cortex.events.event.Envelope;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "emit",
    description = {
      "Emit an event and print its public id.",
      "With - in place of TYPE: emit the envelopes on standard input, one JSON object to a line. Each line"
          + " has its own fate: good ones are committed a few hundred at a time, or when the input pauses,"
          + " and their ids printed; bad ones are reported with their line numbers, and the exit status is 65.",
      "A program that a command handler runs (CORTEX_EVENT_ID, CORTEX_HANDLER and CORTEX_FENCE are set) emits with"
          + " the handled event as the cause, for as long as its lease is held.",
      "While the database is away, the event is appended to the spool instead, from which `cortex spool drain` or"
          + " a worker with --drain-spool delivers it once. Exit status 0: it is durable, in the database or, as"
          + " standard error then says, in the spool. What the database refuses is never spooled."
    })
final class EmitCommand implements Callable<Integer> {
  private static final JsonMapper JSON = new JsonMapper();
  private static final String INPUT = "-";

  /** The highest that {@code cortex.settings.max_payload_bytes} may be set to. */
  private static final int MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;

  /** Some editors put it before the first byte. */
  private static final String BYTE_ORDER_MARK = "\uFEFF";

  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "TYPE", description = "Its type, such as task.created; or -")
  private String type;

  @Option(names = "--source", paramLabel = "SOURCE", description = "Who emits it; must be given.")
  private Optional<String> source;

  @Option(
      names = "--payload",
      paramLabel = "JSON|@FILE|-",
      description = "What happened: a JSON object, a file that holds one, or standard input.")
  private Optional<String> payload;

  @Option(
      names = {"--correlation", "--correlation-id"},
      paramLabel = "ID",
      description = "What belongs together carries the same one.")
  private Optional<String> correlation;

  @Option(
      names = "--priority",
      paramLabel = "P",
      description = "critical, high, medium (handled so if not stated) or low.")
  private Optional<String> priority;

  @Option(
      names = "--key",
      paramLabel = "KEY",
      description = "Ordered handlers run the events of one key in order.")
  private Optional<String> key;

  @Option(
      names = "--dedupe-key",
      paramLabel = "KEY",
      description =
          "Of one type and dedupe key only the first is recorded; its id is printed again.")
  private Optional<String> dedupeKey;

  @Option(
      names = "--run-at",
      paramLabel = "T",
      description = "Handled no earlier: 2025-12-01T22:54:20Z.")
  private Optional<String> runAt;

  @Option(
      names = "--no-spool",
      description = "Fail with 69 while the database is away, rather than spool.")
  private boolean noSpool;

  @Mixin private SpoolChoice spool;

  @Override
  public Integer call() throws Exception {
    if (type.equals(INPUT)) {
      return emitInput();
    }
    EventDraft draft = draft();
    try (Emission emission = emission()) {
      emission.emitAll(List.of(draft)).forEach(cortex.console()::print);
    }
    return 0;
  }

  private Emission emission() throws SQLException {
    return Emission.open(
        cortex,
        noSpool ? Optional.empty() : Optional.of(spool.spool(cortex.console().environment())));
  }

  private int emitInput() throws SQLException, InterruptedException {
    boolean hasMore =
        source.isPresent()
            || payload.isPresent()
            || correlation.isPresent()
            || priority.isPresent()
            || key.isPresent()
            || dedupeKey.isPresent()
            || runAt.isPresent();
    if (hasMore) {
      throw cortex.wrong(
          "with - every envelope says everything itself; no other option may be given");
    }
    try (Emission emission = emission()) {
      long rejected = new EnvelopeStream(cortex.console(), emission).emitAll();
      return rejected == 0 ? 0 : ErrorCode.INVALID_DATA.exitStatus();
    }
  }

  /** Through the envelope's own reader, so that the rules are said in the same words everywhere. */
  private EventDraft draft() {
    if (source.isEmpty()) {
      throw cortex.wrong("--source must be given");
    }
    ObjectNode members = JSON.createObjectNode();
    members.put("event_type", type);
    members.put("source", source.get());
    correlation.ifPresent(id -> members.put("correlation_id", id));
    priority.ifPresent(level -> members.putObject("metadata").put("priority", level));
    key.ifPresent(value -> members.put("key", value));
    dedupeKey.ifPresent(value -> members.put("dedupe_key", value));
    runAt.ifPresent(moment -> members.put("run_at", moment));
    EventDraft draft = Envelope.read(members.toString());
    return payload.isPresent() ? draft.withPayload(payload(payload.get())) : draft;
  }

  private String payload(String given) {
    if (given.equals(INPUT)) {
      return text(cortex.console().in(), "standard input");
    }
    if (!given.startsWith("@")) {
      return given;
    }
    String name = given.substring(1);
    try (InputStream file = Files.newInputStream(Path.of(name))) {
      return text(file, name);
    } catch (IOException e) {
      throw new UnreadableInputException(name, e);
    }
  }

  /** Reads on only as long as it may yet be a payload: a device never ends. */
  private static String text(InputStream in, String name) {
    byte[] bytes;
    try {
      bytes = in.readNBytes(MAX_PAYLOAD_BYTES + 1);
    } catch (IOException e) {
      throw new UnreadableInputException(name, e);
    }
    if (bytes.length > MAX_PAYLOAD_BYTES) {
      throw new InvalidEventException(
          Defect.TOO_LARGE,
          "payload",
          "may have at most " + MAX_PAYLOAD_BYTES + " bytes of JSON, whatever the setting");
    }
    try {
      String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
      return text.startsWith(BYTE_ORDER_MARK) ? text.substring(1) : text;
    } catch (CharacterCodingException e) {
      throw new InvalidEventException(Defect.INVALID_ENCODING, "event", "must be valid UTF-8");
    }
  }
}
