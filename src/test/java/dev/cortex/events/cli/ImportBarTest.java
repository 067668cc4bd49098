package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.outbox.ImportSummary;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ImportBarTest {
  private static final ImportSummary SOME = new ImportSummary(1_234, 0, Map.of());

  @Test
  void it_says_how_much_is_read_and_how_long_the_rest_takes_at_this_pace() {
    assertThat(ImportBar.line(25, 100, 1_234, 30_000_000_000L))
        .isEqualTo("[######..................]  25 %  1,234 read  1:30 left");
    assertThat(ImportBar.line(0, 0, 0, 5)).startsWith("[########################] 100 %");
  }

  @Test
  void only_a_terminal_is_drawn_on() {
    assertThat(drawn(true)).startsWith("\r[############............]  50 %").endsWith("\n");
    assertThat(drawn(false)).isEmpty();
  }

  private static String drawn(boolean isTerminal) {
    StringWriter err = new StringWriter();
    Console console =
        new Console(
            InputStream.nullInputStream(),
            new PrintWriter(new StringWriter()),
            new PrintWriter(err),
            isTerminal,
            Map.of());
    try (ImportBar bar = new ImportBar(console)) {
      bar.advanced(50, 100, SOME);
    }
    return err.toString().replace(System.lineSeparator(), "\n");
  }
}
