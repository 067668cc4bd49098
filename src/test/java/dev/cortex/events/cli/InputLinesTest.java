package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.cli.InputLines.Broken;
import dev.cortex.events.cli.InputLines.End;
import dev.cortex.events.cli.InputLines.Line;
import dev.cortex.events.cli.InputLines.Text;
import dev.cortex.events.event.InvalidEventException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class InputLinesTest {
  private static final int MEBIBYTE = 1024 * 1024;

  @Test
  void lines_are_counted_and_the_last_one_needs_no_end() throws Exception {
    InputLines lines = InputLines.of(new ByteArrayInputStream(new byte[] {'a', '\n', '\n', 'b'}));
    assertThat(((Text) next(lines)).bytes()).containsExactly('a');
    assertThat(((Text) next(lines)).isBlank()).isTrue();
    assertThat(((Text) next(lines)).number()).isEqualTo(3);
    assertThat(next(lines)).isEqualTo(new End());
  }

  @Test
  void a_line_without_an_end_is_refused_and_ends_the_reading() throws Exception {
    InputLines lines = InputLines.of(new Repeated((byte) 0, Long.MAX_VALUE - 1));
    assertThat(next(lines))
        .isInstanceOfSatisfying(
            Broken.class,
            broken ->
                assertThat(broken.error())
                    .isInstanceOf(InvalidEventException.class)
                    .hasMessageContaining("line 1 may have at most 34603008 bytes"));
  }

  @Test
  void what_is_read_ahead_is_bounded_in_bytes() throws Exception {
    Repeated fives = new Repeated((byte) 'x', 5L * MEBIBYTE);
    InputLines lines = InputLines.of(fives);
    for (int line = 1; line <= 12; line++) {
      assertThat(((Text) next(lines)).bytes()).hasSize(5 * MEBIBYTE);
      // Taken; waiting; in the reader's hands, which may have read a buffer more.
      assertThat(fives.given.get())
          .isLessThan(5L * MEBIBYTE * (line + 1) + 33L * MEBIBYTE + MEBIBYTE);
    }
  }

  @Test
  void an_error_of_the_reader_is_told_and_not_waited_for() throws Exception {
    InputLines lines =
        InputLines.of(
            new InputStream() {
              @Override
              public int read() {
                throw new OutOfMemoryError("a test's");
              }

              @Override
              public int read(byte[] into, int from, int length) {
                return read();
              }
            });
    assertThat(next(lines))
        .isInstanceOfSatisfying(
            Broken.class, broken -> assertThat(broken.error()).hasMessage("a test's"));
  }

  @Test
  void what_came_before_a_failure_is_given_first() throws Exception {
    CountDownLatch given = new CountDownLatch(1);
    InputLines lines =
        InputLines.of(
            new InputStream() {
              @Override
              public int read() throws IOException {
                throw new IOException("gone");
              }

              @Override
              public int read(byte[] into, int from, int length) throws IOException {
                if (given.getCount() == 0) {
                  throw new IOException("gone");
                }
                given.countDown();
                into[from] = '\n';
                return 1;
              }
            });
    assertThat(next(lines)).isInstanceOf(Text.class);
    assertThat(next(lines)).isInstanceOf(Broken.class);
  }

  private static Line next(InputLines lines) throws InterruptedException {
    return lines.next(60, TimeUnit.SECONDS).orElseThrow();
  }

  /** One byte for ever, in lines of this length. */
  private static final class Repeated extends InputStream {
    private final byte content;
    private final long lineLength;
    private final long endedLength;
    private final AtomicLong given = new AtomicLong();

    Repeated(byte content, long lineLength) {
      this.content = content;
      this.lineLength = lineLength;
      this.endedLength = lineLength + 1;
    }

    @Override
    public int read() {
      throw new UnsupportedOperationException("read by the buffer only");
    }

    @Override
    public int read(byte[] into, int from, int length) {
      long left = lineLength - given.get() % endedLength;
      if (left == 0) {
        into[from] = '\n';
        given.incrementAndGet();
        return 1;
      }
      int count = (int) Math.min(left, length);
      Arrays.fill(into, from, from + count, content);
      given.addAndGet(count);
      return count;
    }
  }
}
