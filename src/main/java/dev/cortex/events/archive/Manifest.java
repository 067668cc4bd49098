package dev.cortex.events.archive;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** The manifest beside a file, as JSON: it is written last, so a file that has one is whole. */
final class Manifest {
  /** Not {@code .json}, lest an import of the directory take it for an event. */
  static final String SUFFIX = ".manifest";

  private static final int FORMAT = 1;

  private Manifest() {}

  static String text(ArchivedFile file) {
    Map<String, Object> members = new LinkedHashMap<>();
    members.put("format", FORMAT);
    members.put("name", file.name());
    members.put("holds", file.holds());
    members.put("of", file.of());
    members.put("database", file.database());
    members.put("identity", file.identity());
    members.put("rows", file.rows());
    members.put("bytes", file.bytes());
    members.put("sha256", file.sha256());
    members.put("written_at", file.writtenAt().toString());
    return Json.of(members).text() + "\n";
  }

  /** Empty when there is none that this program can read: one file's fault is not the others'. */
  static Optional<ArchivedFile> read(Path path, String name) {
    try {
      ObjectNode members = Json.parse("manifest", Files.readString(path)).tree();
      if (members.path("format").asInt() != FORMAT) {
        return Optional.empty();
      }
      return Optional.of(
          new ArchivedFile(
              name,
              members.path("holds").asText(),
              members.path("of").asText(),
              members.path("database").asText(),
              members.path("identity").asText(),
              members.path("rows").asLong(),
              members.path("bytes").asLong(),
              members.path("sha256").asText(),
              Instant.parse(members.path("written_at").asText())));
    } catch (IOException | InvalidEventException | DateTimeParseException e) {
      return Optional.empty();
    }
  }
}
