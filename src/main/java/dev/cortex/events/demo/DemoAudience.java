package dev.cortex.events.demo;

/** Who watches a run. */
public interface DemoAudience {
  /** Something begins or has happened. */
  void step(String text);

  /** How it stands, several times a second. */
  void progress(DemoProgress progress);
}
