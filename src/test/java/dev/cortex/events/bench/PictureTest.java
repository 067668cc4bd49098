package dev.cortex.events.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.StringReader;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

/** The chart of rates over time, as a reader of its XML sees it. */
class PictureTest {
  private static final Locale BEFORE = Locale.getDefault();

  /** Which writes a comma where SVG wants a point. */
  @BeforeEach
  void in_germany() {
    Locale.setDefault(Locale.GERMANY);
  }

  @AfterEach
  void back() {
    Locale.setDefault(BEFORE);
  }

  private static Document draw(Series... series) throws Exception {
    return DocumentBuilderFactory.newInstance()
        .newDocumentBuilder()
        .parse(new InputSource(new StringReader(new Picture(List.of(series)).svg())));
  }

  private static List<Element> elements(Document document, String name) {
    NodeList nodes = document.getElementsByTagName(name);
    return IntStream.range(0, nodes.getLength()).mapToObj(i -> (Element) nodes.item(i)).toList();
  }

  @Test
  void each_series_is_a_line_with_a_point_a_second_and_a_name() throws Exception {
    Document document =
        draw(
            new Series("cortex", List.of(10_000.0, 20_000.0, 15_000.0)),
            new Series("cortex, snapshot held", List.of(9_000.0, 18_000.0)));
    assertThat(elements(document, "polyline"))
        .extracting(line -> line.getAttribute("points").split(" ").length)
        .containsExactly(3, 2);
    assertThat(elements(document, "text"))
        .extracting(Element::getTextContent)
        .contains("cortex", "cortex, snapshot held", "seconds", "0.0", "20.0", "3");
  }

  @Test
  void every_point_lies_within_the_frame() throws Exception {
    Document document = draw(new Series("cortex", List.of(0.0, 123_456.0)));
    String[] points = elements(document, "polyline").get(0).getAttribute("points").split("[ ,]");
    assertThat(points).hasSize(4);
    assertThat(List.of(points)).allMatch(place -> Double.parseDouble(place) <= 900);
    assertThat(Double.parseDouble(points[1])).isEqualTo(390);
    assertThat(Double.parseDouble(points[3])).isBetween(84.0, 104.0);
  }

  @Test
  void a_run_of_ten_minutes_is_drawn_by_means_with_round_seconds_below() throws Exception {
    Document document = draw(new Series("cortex", Collections.nCopies(600, 5_000.0)));
    assertThat(elements(document, "polyline").get(0).getAttribute("points").split(" "))
        .hasSize(150);
    assertThat(elements(document, "text"))
        .extracting(Element::getTextContent)
        .contains("60", "540", "600")
        .doesNotContain("30");
  }

  @Test
  void the_names_of_many_series_stand_in_rows_of_two() throws Exception {
    Document document =
        draw(
            new Series("cortex", List.of(1.0)),
            new Series("cortex, snapshot held", List.of(1.0)),
            new Series("graphile-worker", List.of(1.0)),
            new Series("graphile-worker, snapshot held", List.of(1.0)));
    List<String> places =
        elements(document, "text").stream()
            .filter(text -> text.getTextContent().matches("(cortex|graphile).*"))
            .map(text -> text.getAttribute("x") + " " + text.getAttribute("y"))
            .toList();
    assertThat(places).containsExactly("90 46", "500 46", "90 66", "500 66");
  }

  @Test
  void nothing_measured_is_an_empty_frame() throws Exception {
    assertThat(elements(draw(), "polyline")).isEmpty();
  }
}
