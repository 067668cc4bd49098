package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * What a security event has found, by severity.
 *
 * <p>Scripts say it in many ways. The first of these that is there counts: numbers under {@code
 * critical}, {@code high}, {@code medium} and {@code low} in {@code payload.findings} (or {@code
 * vulnerabilities}, {@code severity_counts}); a list under those names, each of whose items has a
 * {@code severity} of its own or else {@code payload.severity}, and which is empty where nothing
 * was found; such numbers in the payload itself; {@code finding_count} findings (or as many as
 * {@code findings} or {@code vulnerabilities} says as a number) of {@code payload.severity}. A text
 * that is no number is for people and counts nothing.
 *
 * <p>The target is {@code payload.target} (or {@code repository}, {@code repo}, {@code project}),
 * else the event's source.
 */
record Findings(
    Optional<String> scanId,
    String target,
    Optional<String> severity,
    long critical,
    long high,
    long medium,
    long low) {

  private static final String[] PLACES = {"findings", "vulnerabilities", "severity_counts"};

  static Findings of(Event event) {
    Payload payload = Payload.of(event);
    Optional<String> severity =
        payload.shortText("severity").map(text -> text.toLowerCase(Locale.ROOT));
    Payload counts = payload.object(PLACES).orElse(payload);
    Optional<List<Optional<String>>> items = payload.items("severity", PLACES);
    return new Findings(
        payload.shortText("scan_id", "id"),
        payload.text("target", "repository", "repo", "project").orElse(event.source()),
        severity,
        count("critical", counts, items, severity),
        count("high", counts, items, severity),
        count("medium", counts, items, severity),
        count("low", counts, items, severity));
  }

  private static long count(
      String level,
      Payload counts,
      Optional<List<Optional<String>>> items,
      Optional<String> severity) {
    if (items.isPresent()) {
      return items.get().stream()
          .filter(item -> item.or(() -> severity).filter(level::equalsIgnoreCase).isPresent())
          .count();
    }
    long ofSeverity =
        severity.filter(level::equals).isPresent()
            ? counts
                .numeral("finding_count", "findings_count", "findings", "vulnerabilities")
                .orElse(0)
            : 0;
    return counts.numeral(level).orElse(ofSeverity);
  }
}
