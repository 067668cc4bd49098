package dev.cortex.events.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OutputFilesTest {
  private static final int BUFFER = 8192;

  @TempDir private Path directory;

  @Test
  void output_without_end_is_kept_in_five_files_of_bounded_size_the_newest_last()
      throws IOException {
    String all = IntStream.range(0, 100_000).mapToObj(n -> n + "\n").collect(Collectors.joining());

    new OutputFiles(directory, 20_000).write(stream(all));

    try (Stream<Path> files = Files.list(directory)) {
      assertThat(files.map(file -> file.getFileName().toString()))
          .isSubsetOf("output.log", "output.log.1", "output.log.2", "output.log.3", "output.log.4");
    }
    StringBuilder kept = new StringBuilder();
    for (String name :
        new String[] {"output.log.4", "output.log.3", "output.log.2", "output.log.1"}) {
      assertThat(Files.size(directory.resolve(name))).isBetween(20_000L, 20_000L + BUFFER);
      kept.append(Files.readString(directory.resolve(name)));
    }
    if (Files.exists(directory.resolve("output.log"))) {
      kept.append(Files.readString(directory.resolve("output.log")));
    }
    assertThat(all).as("without a gap").endsWith(kept.toString());
  }

  @Test
  void a_later_run_goes_on_where_the_one_before_has_ended() throws IOException {
    new OutputFiles(directory, 20_000).write(stream("one\n"));
    new OutputFiles(directory, 20_000).write(stream("two\n"));

    assertThat(Files.readString(directory.resolve("output.log"))).isEqualTo("one\ntwo\n");
  }

  private static ByteArrayInputStream stream(String text) {
    return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
  }
}
