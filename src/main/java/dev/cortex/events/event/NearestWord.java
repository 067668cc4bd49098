package dev.cortex.events.event;

import java.util.Collection;
import java.util.Comparator;
import java.util.Optional;

/** Which of some known words is spelled most like a given one, by Levenshtein distance. */
public final class NearestWord {
  private static final int LOOKED_AT = 64;

  private NearestWord() {}

  /** The nearest one, or none if none is near. */
  public static Optional<String> to(String given, Collection<String> known) {
    String word = given.substring(0, Math.min(given.length(), LOOKED_AT));
    int limit = Math.max(3, word.length() / 3);
    return known.stream()
        .filter(candidate -> distance(word, candidate) <= limit)
        .min(
            Comparator.<String>comparingInt(candidate -> distance(word, candidate))
                .thenComparing(Comparator.naturalOrder()));
  }

  private static int distance(String one, String other) {
    int[] previous = new int[other.length() + 1];
    for (int j = 0; j < previous.length; j++) {
      previous[j] = j;
    }
    for (int i = 1; i <= one.length(); i++) {
      int[] current = new int[previous.length];
      current[0] = i;
      for (int j = 1; j < current.length; j++) {
        int replaced = previous[j - 1] + (one.charAt(i - 1) == other.charAt(j - 1) ? 0 : 1);
        current[j] = Math.min(replaced, 1 + Math.min(previous[j], current[j - 1]));
      }
      previous = current;
    }
    return previous[other.length()];
  }
}
