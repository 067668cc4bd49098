package dev.cortex.events.cli;

import dev.cortex.events.operate.Operations;
import java.sql.SQLException;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "limit",
    description = {
      "Limit how many batches, or leased events, of a handler run at once in the whole cluster.",
      "Your word goes before what its code declares, until you say `declared`. It counts for what begins"
          + " after it."
    })
final class LimitCommand implements Callable<Integer> {
  private static final String NONE = "none";
  private static final String DECLARED = "declared";
  private static final Pattern NUMBER = Pattern.compile("[0-9]{1,4}");
  private static final int MOST = 1024;

  @ParentCommand private Cortex cortex;

  @Parameters(index = "0", paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Parameters(
      index = "1",
      paramLabel = "N|none|declared",
      description = "1 to 1024; no limit; or what the code declares.")
  private String limit;

  @Mixin private Reason reason;

  @Override
  public Integer call() throws SQLException {
    OptionalInt number = number();
    try (Installation installation = cortex.open()) {
      Operations operations = installation.operations(Role.OPERATOR);
      if (limit.equals(DECLARED)) {
        operations.forgetLimit(handler, reason.text());
        cortex.console().print("what its code declares counts");
      } else {
        operations.limit(handler, number, reason.text());
        cortex
            .console()
            .print(number.isPresent() ? "limited to " + number.getAsInt() : "not limited");
      }
    }
    return 0;
  }

  private OptionalInt number() {
    if (limit.equals(NONE) || limit.equals(DECLARED)) {
      return OptionalInt.empty();
    }
    int number = NUMBER.matcher(limit).matches() ? Integer.parseInt(limit) : 0;
    if (number < 1 || number > MOST) {
      throw cortex.wrong("the limit must be 1 to 1024, none or declared, was " + limit);
    }
    return OptionalInt.of(number);
  }
}
