package dev.cortex.events.bench;

import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Rates over time as a line chart in SVG: seconds to the right, thousand events per second upwards.
 *
 * @param series the lines, in the order of the legend
 */
record Picture(List<Series> series) {
  private static final int WIDTH = 900;
  private static final int HEIGHT = 420;
  private static final int LEFT = 60;
  private static final int RIGHT = 20;
  private static final int TOP = 60;
  private static final int BOTTOM = 50;
  private static final int STEPS = 5;
  private static final int LEGEND_COLUMN = 210;

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
    return IntStream.rangeClosed(0, STEPS)
        .mapToObj(step -> seconds() * step / STEPS)
        .map(
            second ->
                text(
                    "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>",
                    x(second), HEIGHT - BOTTOM + 18, second))
        .collect(Collectors.joining("\n"));
  }

  private String lines() {
    return IntStream.range(0, series.size()).mapToObj(this::line).collect(Collectors.joining("\n"));
  }

  private String line(int number) {
    Series one = series.get(number);
    String colour = COLOURS.get(number % COLOURS.size());
    String dashes = DASHES.get(number % DASHES.size());
    String points =
        IntStream.range(0, one.perSecond().size())
            .mapToObj(second -> text("%.1f,%.1f", x(second + 1), y(one.perSecond().get(second))))
            .collect(Collectors.joining(" "));
    int legend = LEFT + number * LEGEND_COLUMN;
    return text(
        """
        <polyline points="%s" fill="none" stroke="%s" stroke-width="1.5" stroke-dasharray="%s"/>
        <line x1="%d" x2="%d" y1="42" y2="42" stroke="%s" stroke-width="3" stroke-dasharray="%s"/>
        <text x="%d" y="46">%s</text>""",
        points, colour, dashes, legend, legend + 24, colour, dashes, legend + 30, one.name());
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
