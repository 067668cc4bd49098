package dev.cortex.events.event;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        " ",
        "null",
        "1",
        "\"a\"",
        "[]",
        "{",
        "{}{}",
        "{} x",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{\"a\":1} //",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x\"}",
        "\uFEFF{}"
      })
  void what_is_not_one_json_object_is_refused(String text) {
    assertThatThrownBy(() -> Json.parse("payload", text))
        .isInstanceOfSatisfying(
            InvalidEventException.class, e -> assertThat(e.field()).isEqualTo("payload"));
  }

  @Test
  void an_error_tells_the_place_and_never_the_text() {
    assertThatThrownBy(() -> Json.parse("payload", "{\"password\": hunter2}"))
        .hasMessageContaining("line 1, column")
        .hasMessageNotContaining("hunter2")
        .hasNoCause();
    assertThatThrownBy(() -> Json.parse("payload", "{\"hunter2\": 1, \"hunter2\": 2}"))
        .hasMessageContaining("a name only once")
        .hasMessageNotContaining("hunter2");
    assertThatThrownBy(() -> Json.parse("payload", "{\"a\": \"hunter2\"}").as(Numbers.class))
        .hasMessageNotContaining("hunter2");
  }

  private record Numbers(int a) {}

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"a\":\"\\u0000\"}",
        "{\"\\u0000\":1}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00x\"}",
        "{\"a\":\"\\ud83d x\"}",
        "{\"a\":[{\"b\":\"\\\\\\u0000\"}]}"
      })
  void what_postgresql_cannot_store_is_refused_in_any_spelling(String text) {
    assertThatThrownBy(() -> Json.parse("payload", text)).isInstanceOf(InvalidEventException.class);
  }

  @Test
  void half_a_surrogate_pair_is_refused_as_a_character_too() {
    assertThatThrownBy(() -> Json.parse("payload", "{\"a\":\"" + '\ud83d' + "\"}"))
        .hasMessageContaining("half of a surrogate pair");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"a\":\"\\\\u0000\"}",
        "{\"a\":\"\\ud83d\\ude00\"}",
        "{\"a\":\"😀\"}",
        "{\"\":null}",
        "{\"a\":[null,\"w-2\"]}",
        "{\"a\":1e999}",
        "{\"a\":-1e999}",
        "{\"a\":1e-999}",
        "{\"a\":0e9999}"
      })
  void what_it_can_store_is_accepted(String text) {
    assertThat(Json.parse("payload", text).text()).isEqualTo(text);
  }

  @ParameterizedTest
  @ValueSource(strings = {"1e1000", "-1e1000", "1e-1000", "1e131071", "1e999999999999", "1.5e1000"})
  void a_number_of_more_than_1000_digits_written_out_is_too_large(String number) {
    assertThat(refusal("{\"a\":" + number + "}").defect()).isEqualTo(Defect.TOO_LARGE);
  }

  @Test
  void digits_count_without_sign_and_point() {
    assertThatCode(
            () -> Json.parse("payload", "{\"a\":-" + "9".repeat(500) + "." + "9".repeat(500) + "}"))
        .doesNotThrowAnyException();
    assertThat(refusal("{\"a\":" + "9".repeat(500) + "." + "9".repeat(501) + "}").defect())
        .isEqualTo(Defect.TOO_LARGE);
  }

  @Test
  void a_hundred_levels_are_accepted_and_one_more_is_not() {
    assertThatCode(() -> Json.parse("payload", nested(100))).doesNotThrowAnyException();
    assertThat(refusal(nested(101)).rule()).startsWith("may be nested at most 100 deep");
    assertThat(refusal(nested(100_000)).rule()).startsWith("may be nested at most 100 deep");
  }

  private static String nested(int depth) {
    return "{\"a\":".repeat(depth - 1) + "{}" + "}".repeat(depth - 1);
  }

  @Test
  void a_megabyte_of_backslashes_is_read_at_once() {
    String text = "{\"a\":\"" + "\\\\".repeat(500_000) + "\\u0041\"}";
    assertThatCode(() -> Json.parse("payload", text)).doesNotThrowAnyException();
  }

  @Test
  void values_are_equal_when_their_json_is_whatever_its_spelling() {
    Json one = Json.parse("payload", "{\"a\": 1e2, \"b\": [1.50, null]}");
    Json other = Json.parse("payload", "{\"b\":[1.5,null],\"a\":100}");
    assertThat(one).isEqualTo(other).hasSameHashCodeAs(other);
    assertThat(one).isNotEqualTo(Json.of(Map.of("a", 100)));
  }

  @Test
  void it_is_shown_by_its_length() {
    assertThat(Json.parse("payload", "{\"a\":1}")).hasToString("Json[7 characters]");
  }

  private static InvalidEventException refusal(String text) {
    return catchThrowableOfType(InvalidEventException.class, () -> Json.parse("payload", text));
  }
}
