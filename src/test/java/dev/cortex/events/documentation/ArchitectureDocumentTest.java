package dev.cortex.events.documentation;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * ARCHITECTURE.md draws the house that stands, and the documents lead nowhere that is not there.
 */
class ArchitectureDocumentTest {
  private static final Document ARCHITECTURE = Document.of("ARCHITECTURE.md");
  private static final int LONGEST = 300;
  private static final String FRONT_DOOR = "dev.cortex.events";

  private static final Pattern ROOM = Pattern.compile("^\\| `([a-z.]+)` \\|.*\\| ([^|]*) \\|$");
  private static final Pattern RULE =
      Pattern.compile("whereLayer\\(\"([a-z ]+)\"\\)\\s*\\.mayOnlyAccessLayers\\(([^)]*)\\)");
  private static final Pattern CLOSED_RULE =
      Pattern.compile("whereLayer\\(\"([a-z ]+)\"\\)\\s*\\.mayNotAccessAnyLayer");
  private static final Pattern TYPE =
      Pattern.compile("`([A-Z][a-z][A-Za-z]*)(?:\\.([a-z][A-Za-z]*))?`");
  private static final Pattern SQL_NAME = Pattern.compile("`cortex\\.([a-z_]+)(?:\\([^`]*)?`");
  private static final Pattern LINK = Pattern.compile("\\]\\(([^)#]+)(?:#([^)]*))?\\)");

  @Test
  void its_rooms_may_use_what_the_architecture_test_allows() throws IOException {
    assertThat(drawn()).isEqualTo(tested());
  }

  @Test
  void every_type_and_method_that_it_names_is_there() throws IOException {
    Map<String, Path> types = sources();
    Matcher names = TYPE.matcher(ARCHITECTURE.text());
    while (names.find()) {
      assertThat(types).containsKey(names.group(1));
      if (names.group(2) != null) {
        assertThat(Files.readString(types.get(names.group(1))))
            .as(names.group())
            .contains(names.group(2) + "(");
      }
    }
  }

  @Test
  void every_table_view_and_function_that_the_documents_name_is_there() throws IOException {
    String migrations = migrations();
    for (Document document : Document.all()) {
      Matcher names = SQL_NAME.matcher(document.text());
      while (names.find()) {
        assertThat(migrations)
            .as(document.path() + ": " + names.group())
            .containsPattern("(table|view|function|type) cortex\\." + names.group(1) + "\\b");
      }
    }
  }

  @Test
  void every_link_of_the_documents_leads_somewhere() throws IOException {
    for (Document document : Document.all()) {
      Matcher links = LINK.matcher(document.text());
      while (links.find()) {
        if (!links.group(1).matches("[a-z]+:.*")) {
          Path target = document.path().resolveSibling(links.group(1));
          assertThat(target).as(document.path() + ": " + links.group()).exists();
          if (links.group(2) != null) {
            assertThat(anchors(Document.of(target))).contains(links.group(2));
          }
        }
      }
    }
  }

  /** The headings, as the links to them are spelled. */
  private static List<String> anchors(Document document) {
    return document.lines().stream()
        .filter(line -> line.startsWith("#"))
        .map(line -> line.replaceFirst("^#+ ", "").toLowerCase(Locale.ROOT))
        .map(heading -> heading.replaceAll("[^a-z0-9 -]", "").replace(' ', '-'))
        .toList();
  }

  @Test
  void it_can_be_read_in_one_sitting() {
    assertThat(ARCHITECTURE.lines()).hasSizeLessThanOrEqualTo(LONGEST);
  }

  /** From the table of rooms: what each may use. */
  private static Map<String, Set<String>> drawn() {
    Map<String, Set<String>> rooms = new TreeMap<>();
    for (String line : ARCHITECTURE.lines()) {
      Matcher room = ROOM.matcher(line);
      if (room.matches()) {
        rooms.put(room.group(1), names(room.group(2)));
      }
    }
    rooms.remove("cli"); // it may use all, and the test holds only that nobody uses it
    return rooms;
  }

  private static Map<String, Set<String>> tested() throws IOException {
    String test =
        Files.readString(
            Document.ROOT.resolve(
                "src/test/java/dev/cortex/events/architecture/ArchitectureTest.java"));
    Map<String, Set<String>> rooms = new TreeMap<>();
    Matcher rules = RULE.matcher(test);
    while (rules.find()) {
      rooms.put(name(rules.group(1)), names(rules.group(2).replace("\"", "")));
    }
    Matcher closed = CLOSED_RULE.matcher(test);
    while (closed.find()) {
      rooms.put(name(closed.group(1)), Set.of());
    }
    return rooms;
  }

  private static Set<String> names(String list) {
    return Arrays.stream(list.split(","))
        .map(String::strip)
        .filter(name -> !name.isEmpty() && !name.equals("-"))
        .map(ArchitectureDocumentTest::name)
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static String name(String layer) {
    return layer.equals("front door") ? FRONT_DOOR : layer;
  }

  private static Map<String, Path> sources() throws IOException {
    Map<String, Path> types = new TreeMap<>();
    try (Stream<Path> files = Files.walk(Document.ROOT.resolve("src"))) {
      files
          .filter(path -> path.toString().endsWith(".java"))
          .forEach(path -> types.put(path.getFileName().toString().replace(".java", ""), path));
    }
    return types;
  }

  private static String migrations() throws IOException {
    try (Stream<Path> files = Files.list(Document.ROOT.resolve("migrations/engine"))) {
      List<String> texts = files.map(Document::of).map(Document::text).toList();
      return String.join("\n", texts);
    }
  }
}
