package dev.cortex.events.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ProcessMarkTest {
  @Test
  void a_process_is_known_by_its_mark_and_another_one_of_its_number_is_not() {
    ProcessHandle us = ProcessHandle.current();
    String mark = ProcessMark.of(us).text();

    assertThat(ProcessMark.living(mark)).contains(us);
    assertThat(ProcessMark.living(mark + "0")).isEmpty();
    assertThat(ProcessMark.living(Long.toString(us.pid()))).isEmpty();
    assertThat(ProcessMark.living("")).isEmpty();
    assertThat(ProcessMark.living("not a number")).isEmpty();
  }
}
