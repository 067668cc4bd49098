package dev.cortex.events.database;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class SystemProcessTest {
  @Test
  void a_command_ends_with_its_status_and_what_it_wrote_to_both_outputs() throws IOException {
    SystemProcess.Result result =
        SystemProcess.run(
            List.of("sh", "-c", "read line; echo $line; echo err >&2; exit 3"), "in\n");
    assertThat(result).isEqualTo(new SystemProcess.Result(3, "in\nerr\n"));
  }

  @Test
  void a_command_that_does_not_end_is_killed_and_has_failed() throws IOException {
    SystemProcess.Result result =
        SystemProcess.run(List.of("sh", "-c", "echo said; sleep 20; :"), "", Duration.ofSeconds(1));
    assertThat(result).isEqualTo(new SystemProcess.Result(-1, "said\n"));
  }

  @Test
  void what_a_command_leaves_behind_is_not_waited_for() throws IOException {
    SystemProcess.Result result =
        SystemProcess.run(List.of("sh", "-c", "sleep 20 & echo $!"), "", Duration.ofSeconds(10));
    long left = Long.parseLong(result.output().strip());
    assertThat(ProcessHandle.of(left)).as("lives on").isPresent();
    SystemProcess.signal("KILL", left);
    assertThat(result.status()).isZero();
  }
}
