package dev.cortex.events.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

class DocumentReaderTest {
  private static final int ENOUGH = 1_000_000;

  @Test
  void several_objects_on_one_line_and_one_over_several_lines() throws IOException {
    assertThat(
            read(
                "{\"a\":1} {\"b\":2}{\"c\":3}\n{\n  \"d\": {\n    \"e\": 1\n  }\n}\n{\"f\":\n{\"g\":1}}"))
        .containsExactly(
            "1 {\"a\":1}",
            "1 {\"b\":2}",
            "1 {\"c\":3}",
            "2 {\n  \"d\": {\n    \"e\": 1\n  }\n}",
            "7 {\"f\":\n{\"g\":1}}");
  }

  @Test
  void brackets_and_quotes_inside_strings_are_text() throws IOException {
    assertThat(read("{\"a\":\"}{\\\"}\"}\n{\"b\":\"\\\\\"}"))
        .containsExactly("1 {\"a\":\"}{\\\"}\"}", "2 {\"b\":\"\\\\\"}");
  }

  @Test
  void a_byte_order_mark_and_blank_lines_are_passed_over() throws IOException {
    assertThat(read("\uFEFF\r\n\r\n{\"a\":1}\r\n")).containsExactly("3 {\"a\":1}");
  }

  @Test
  void a_line_cut_off_costs_only_itself() throws IOException {
    for (String cut :
        List.of(
            "{\"a\":1, \"b\":{\"c\":",
            "{\"a\":1, \"b",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":[1,",
            "{\"a\": ]")) {
      assertThat(read(cut + "\n{\"good\":1}\n{\"good\":2}\n"))
          .as(cut)
          .containsExactly("1 " + cut, "2 {\"good\":1}", "3 {\"good\":2}");
    }
  }

  @Test
  void what_is_no_json_is_a_document_of_its_own() throws IOException {
    assertThat(read("2025-12-01 ERROR no\nhello {\"a\":1}\n{\"b\":2}"))
        .containsExactly("1 2025-12-01 ERROR no", "2 hello", "2 {\"a\":1}", "3 {\"b\":2}");
  }

  @Test
  void an_end_in_the_middle_is_what_stands_there() throws IOException {
    assertThat(read("{\"a\":1}\n{\"b\":")).containsExactly("1 {\"a\":1}", "2 {\"b\":");
    assertThat(read("")).isEmpty();
    assertThat(read(" \n ")).isEmpty();
  }

  @Test
  void a_document_that_is_too_large_is_cut_and_the_next_one_read() throws IOException {
    String large = "{\"a\":\"" + "x".repeat(5000) + "\"}";
    try (DocumentReader reader = reader(large + "\n{\"b\":1}", 1000)) {
      Document cut = reader.next().orElseThrow();
      assertThat(cut.isCut()).isTrue();
      assertThat(cut.size()).isEqualTo(large.length());
      assertThat(cut.digest()).isEqualTo(reader(large, ENOUGH).next().orElseThrow().digest());
      Document next = reader.next().orElseThrow();
      assertThat(next.line()).isEqualTo(2);
      assertThat(new String(next.bytes(), StandardCharsets.UTF_8)).isEqualTo("{\"b\":1}");
    }
  }

  @Test
  void any_bytes_are_read_to_their_end() throws IOException {
    Random random = new Random(42);
    byte[] alphabet = "{}[]\",:\\\n a1".getBytes(StandardCharsets.UTF_8);
    for (int i = 0; i < 2000; i++) {
      byte[] bytes = new byte[random.nextInt(200)];
      for (int j = 0; j < bytes.length; j++) {
        bytes[j] = alphabet[random.nextInt(alphabet.length)];
      }
      String text = new String(bytes, StandardCharsets.UTF_8);
      StringBuilder seen = new StringBuilder();
      for (String document : read(text)) {
        seen.append(document.substring(document.indexOf(' ') + 1));
      }
      assertThat(withoutSpace(seen.toString())).isEqualTo(withoutSpace(text));
    }
  }

  private static String withoutSpace(String text) {
    return text.replaceAll("\\s", "");
  }

  /** Reads in small pieces, so that documents lie across them. */
  private static DocumentReader reader(String text, int maxBytes) {
    InputStream slow =
        new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)) {
          @Override
          public int read(byte[] target, int offset, int length) {
            return super.read(target, offset, Math.min(length, 7));
          }
        };
    return new DocumentReader(slow, maxBytes);
  }

  private static List<String> read(String text) throws IOException {
    List<String> documents = new ArrayList<>();
    try (DocumentReader reader = reader(text, ENOUGH)) {
      for (Optional<Document> next = reader.next(); next.isPresent(); next = reader.next()) {
        documents.add(
            next.get().line() + " " + new String(next.get().bytes(), StandardCharsets.UTF_8));
      }
    }
    return documents;
  }
}
