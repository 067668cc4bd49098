package dev.cortex.events.daemon;

/** Who is told what becomes of the daemons of this host. Calls return at once. */
public interface DaemonJournal {
  /**
   * A program runs.
   *
   * @param pid its process id
   * @param restarts how often in a row it has been started again
   */
  void started(String daemon, long pid, int restarts);

  /** A program has ended, or is not started again: why, in words. */
  void stopped(String daemon, long pid, String reason);

  /** It was not started: why, in words. */
  void refused(String daemon, String reason);
}
