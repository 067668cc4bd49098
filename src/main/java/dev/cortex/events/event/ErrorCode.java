package dev.cortex.events.event;

/**
 * What kind of failure a {@link CortexException} reports. The code decides the exit status of the
 * command line: the numbers of {@code sysexits.h}.
 */
public enum ErrorCode {
  /** The caller asked in a way that cannot be understood. */
  USAGE(64),
  /** The caller's data break a rule. */
  INVALID_DATA(65),
  /** What the caller named does not exist, or is an input that cannot be read. */
  NOT_FOUND(66),
  /** A service that is needed, the database first of all, cannot be reached or started. */
  UNAVAILABLE(69),
  /** A fault in this program. */
  SOFTWARE(70),
  /** Failed now, for a reason that passes: the same call may succeed later. */
  TEMPORARY(75),
  /** The role that asked may not do this, or the user may not open the file. */
  NOT_PERMITTED(77),
  /** The installation is not fit to run: a setting, a role or the schema's version is wrong. */
  CONFIGURATION(78);

  private final int exitStatus;

  ErrorCode(int exitStatus) {
    this.exitStatus = exitStatus;
  }

  /** The exit status of a process that ends with this failure. */
  public int exitStatus() {
    return exitStatus;
  }
}
