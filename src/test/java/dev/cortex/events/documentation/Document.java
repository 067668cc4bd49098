package dev.cortex.events.documentation;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A document of the repository, and the blocks of code in it. */
public record Document(Path path, List<String> lines) {
  static final Path ROOT = Path.of(System.getProperty("project.basedir", "."));
  private static final String FENCE = "```";

  /** What stands in a test's source between these two lines is what a document shows. */
  private static final Pattern REGION =
      Pattern.compile("// documented\n(.*?)\\s*// end of documented", Pattern.DOTALL);

  /** A block of code as the document has it; {@code where} leads to its first line. */
  public record Block(String where, String language, String text) {
    @Override
    public String toString() {
      return where;
    }
  }

  public static Document of(String path) {
    return of(ROOT.resolve(path));
  }

  static Document of(Path path) {
    try {
      return new Document(path, Files.readAllLines(path));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Every document that people read. */
  static List<Document> all() throws IOException {
    try (Stream<Path> top = Files.list(ROOT);
        Stream<Path> documents = Files.walk(ROOT.resolve("docs"));
        Stream<Path> operations = Files.walk(ROOT.resolve("ops"))) {
      return Stream.of(top, documents, operations)
          .flatMap(paths -> paths)
          .filter(path -> path.toString().endsWith(".md"))
          .sorted()
          .map(Document::of)
          .toList();
    }
  }

  public String text() {
    return String.join("\n", lines);
  }

  /** The blocks of one language, in a list's indentation too. */
  public List<Block> blocks(String language) {
    List<Block> blocks = new ArrayList<>();
    for (int i = 0; i < lines.size(); i++) {
      String opening = lines.get(i).strip();
      if (opening.startsWith(FENCE)) {
        List<String> code =
            lines.subList(i + 1, lines.size()).stream()
                .takeWhile(line -> !line.strip().equals(FENCE))
                .toList();
        if (opening.equals(FENCE + language)) {
          blocks.add(
              new Block(
                  path.getFileName() + ":" + (i + 2),
                  language,
                  code.stream().collect(Collectors.joining("\n")).stripIndent()));
        }
        i += code.size() + 1;
      }
    }
    return blocks;
  }

  /** Its samples in Java, and what the test of this class compiles: equal but for white space. */
  List<String> java() {
    return blocks("java").stream().map(block -> withoutSpace(block.text())).toList();
  }

  static List<String> compiledIn(Class<?> test) throws IOException {
    Path source = ROOT.resolve("src/test/java/" + test.getName().replace('.', '/') + ".java");
    List<String> regions = new ArrayList<>();
    Matcher matcher = REGION.matcher(Files.readString(source));
    while (matcher.find()) {
      regions.add(withoutSpace(matcher.group(1)));
    }
    return regions;
  }

  private static String withoutSpace(String code) {
    return code.replaceAll("\\s+", "");
  }
}
