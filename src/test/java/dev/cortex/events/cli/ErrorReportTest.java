package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.util.Map;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.ParseResult;

class ErrorReportTest {
  private final StringWriter err = new StringWriter();
  private final ErrorReport report =
      new ErrorReport(
          new Console(
              InputStream.nullInputStream(),
              new PrintWriter(err),
              new PrintWriter(err),
              false,
              Map.of()),
          () -> false);

  @Test
  void the_log_of_a_server_that_did_not_start_is_shown_line_by_line_and_inert() {
    int status =
        handle(new Failure("the server did not start; its log:\n  FATAL: no \u001b]space\n  end"));
    assertThat(status).isEqualTo(69);
    assertThat(err.toString().lines())
        .containsExactly(
            "cortex: the server did not start; its log:", "    FATAL: no \\u001b]space", "    end");
  }

  @Test
  void a_file_that_the_user_may_not_open_is_not_permitted_and_the_reason_is_said() {
    int status = handle(new UncheckedIOException(new AccessDeniedException("/root/x")));
    assertThat(status).isEqualTo(77);
    assertThat(err.toString().strip()).isEqualTo("cortex: permission denied: /root/x");
  }

  private int handle(Exception e) {
    CommandLine line = new CommandLine(CommandLine.Model.CommandSpec.create());
    return report.handleExecutionException(
        e, line, ParseResult.builder(line.getCommandSpec()).build());
  }

  private static final class Failure extends CortexException {
    private static final long serialVersionUID = 1L;

    private Failure(String message) {
      super(ErrorCode.UNAVAILABLE, message);
    }
  }
}
