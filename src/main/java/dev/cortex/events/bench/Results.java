package dev.cortex.events.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What has been measured so far. Confined to one thread. */
final class Results {
  private final List<Figure> figures = new ArrayList<>();
  private final List<Series> series = new ArrayList<>();

  void add(Figure figure) {
    figures.add(figure);
  }

  void add(Series one) {
    series.add(one);
  }

  List<Figure> figures() {
    return List.copyOf(figures);
  }

  List<Series> series() {
    return List.copyOf(series);
  }

  /** A number, by its workload and its contender. */
  Optional<Double> value(String workload, String contender) {
    return figures.stream()
        .filter(figure -> figure.workload().equals(workload))
        .filter(figure -> figure.contender().equals(contender))
        .map(Figure::value)
        .findFirst();
  }
}
