package dev.cortex.events.bench;

import java.util.List;
import java.util.Map;

/**
 * What one run measured.
 *
 * @param conditions the machine, the versions and the load that it was measured under
 */
public record BenchResult(
    Map<String, String> conditions, List<Figure> figures, List<Bar> bars, List<Series> series) {
  public BenchResult {
    figures = List.copyOf(figures);
    bars = List.copyOf(bars);
    series = List.copyOf(series);
  }

  /** The rates over time as a picture, SVG. */
  public String picture() {
    return new Picture(series).svg();
  }
}
