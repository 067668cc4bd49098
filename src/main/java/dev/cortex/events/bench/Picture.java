package dev.cortex.events.bench;

import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Rates over time as a line chart in SVG: seconds to the right, thousand events per second upwards.
 * A long run is drawn with a point for every few seconds, their mean.
 *
 * @param series the lines, in the order of the legend
 */
record Picture(List<Series> series) {
  private static final int WIDTH = 900;
  private static final int HEIGHT = 440;
  private static final int LEFT = 60;
  private static final int RIGHT = 20;
  private static final int TOP = 84;
  private static final int BOTTOM = 50;
  private static final int STEPS = 5;

  /** Of each line; more would be a band of noise. */
  private static final int MOST_POINTS = 150;

  private static final int LEGEND_COLUMNS = 2;
  private static final int LEGEND_ROW = 20;

  /** Seconds between two labels of the time axis: the first that leaves no more than ten. */
  private static final List<Integer> ROUND_SECONDS =
      List.of(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600);

  private static final int MOST_LABELS = 10;

  /** Told apart by people who see colours differently; dashes are for who prints in black. */
  private static final List<String> COLOURS =
      List.of("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00");

  private static final List<String> DASHES = List.of("none", "7 3");

  /** The whole document. */
  String svg() {
    return """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">
    <rect width="100%%" height="100%%" fill="white"/>
    <text x="%d" y="22" font-size="15">Events handled per second (thousands), while they are emitted</text>
    %s
    %s
    %s
    <text x="%d" y="%d" text-anchor="middle">seconds</text>
    </svg>
    """
        .formatted(
            WIDTH,
            HEIGHT,
            LEFT,
            rateAxis(),
            timeAxis(),
            lines(),
            (LEFT + WIDTH - RIGHT) / 2,
            HEIGHT - 10);
  }

  private String rateAxis() {
    return IntStream.rangeClosed(0, STEPS)
        .mapToObj(step -> highest() * step / STEPS)
        .map(
            rate ->
                text(
                    """
                    <line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>
                    <text x="%d" y="%.1f" text-anchor="end">%.1f</text>""",
                    LEFT, WIDTH - RIGHT, y(rate), y(rate), LEFT - 8, y(rate) + 4, rate / 1_000))
        .collect(Collectors.joining("\n"));
  }

  private String timeAxis() {
    int step = labelStep();
    return IntStream.rangeClosed(0, (int) seconds() / step)
        .map(label -> label * step)
        .mapToObj(
            second ->
                text(
                    "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>",
                    x(second), HEIGHT - BOTTOM + 18, second))
        .collect(Collectors.joining("\n"));
  }

  private int labelStep() {
    return ROUND_SECONDS.stream()
        .filter(step -> seconds() / step <= MOST_LABELS)
        .findFirst()
        .orElse((int) seconds());
  }

  private String lines() {
    return IntStream.range(0, series.size()).mapToObj(this::line).collect(Collectors.joining("\n"));
  }

  private String line(int number) {
    Series one = series.get(number);
    String colour = COLOURS.get(number % COLOURS.size());
    String dashes = DASHES.get(number % DASHES.size());
    int legend = LEFT + number % LEGEND_COLUMNS * (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS;
    int height = 42 + number / LEGEND_COLUMNS * LEGEND_ROW;
    return text(
        """
        <polyline points="%s" fill="none" stroke="%s" stroke-width="1.5" stroke-dasharray="%s"/>
        <line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="3" stroke-dasharray="%s"/>
        <text x="%d" y="%d">%s</text>""",
        points(one.perSecond()),
        colour,
        dashes,
        legend,
        legend + 24,
        height,
        height,
        colour,
        dashes,
        legend + 30,
        height + 4,
        one.name());
  }

  private String points(List<Double> perSecond) {
    int each = (int) Math.ceil(seconds() / MOST_POINTS);
    return IntStream.iterate(0, from -> from < perSecond.size(), from -> from + each)
        .mapToObj(from -> point(perSecond, from, Math.min(from + each, perSecond.size())))
        .collect(Collectors.joining(" "));
  }

  private String point(List<Double> perSecond, int from, int until) {
    double mean =
        perSecond.subList(from, until).stream().mapToDouble(rate -> rate).average().orElse(0);
    return text("%.1f,%.1f", x(until), y(mean));
  }

  private static String text(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  private double x(double second) {
    return LEFT + (WIDTH - LEFT - RIGHT) * second / seconds();
  }

  private double y(double rate) {
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate / highest();
  }

  private double seconds() {
    return Math.max(1, series.stream().mapToInt(one -> one.perSecond().size()).max().orElse(1));
  }

  /** The highest rate, up to the next five thousand. */
  private double highest() {
    double rate =
        series.stream()
            .flatMap(one -> one.perSecond().stream())
            .mapToDouble(Double::doubleValue)
            .max()
            .orElse(0);
    return 5_000 * Math.max(1, Math.ceil(rate / 5_000));
  }
}
