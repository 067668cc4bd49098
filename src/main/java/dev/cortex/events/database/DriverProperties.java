package dev.cortex.events.database;

import dev.cortex.events.event.NearestWord;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.postgresql.PGProperty;

/**
 * The parameters of a URL in the JDBC driver's own names. A name of libpq is translated, a name of
 * the driver is kept, and any other is refused: a misspelt {@code sslmode} must not pass unseen.
 * The refusal tells the nearest known name and not the given one, which may be a part of a password
 * that held a {@code ?}.
 */
final class DriverProperties {
  private static final Map<String, PGProperty> LIBPQ_NAMES =
      Map.of(
          "application_name", PGProperty.APPLICATION_NAME,
          "connect_timeout", PGProperty.CONNECT_TIMEOUT,
          "keepalives", PGProperty.TCP_KEEP_ALIVE,
          "target_session_attrs", PGProperty.TARGET_SERVER_TYPE,
          "channel_binding", PGProperty.CHANNEL_BINDING,
          "load_balance_hosts", PGProperty.LOAD_BALANCE_HOSTS);

  private static final Map<String, Map<String, String>> LIBPQ_VALUES =
      Map.of(
          "keepalives", Map.of("0", "false", "1", "true"),
          "load_balance_hosts", Map.of("disable", "false", "random", "true"),
          "target_session_attrs",
              Map.of(
                  "any", "any",
                  "primary", "primary",
                  "read-write", "primary",
                  "standby", "secondary",
                  "read-only", "secondary",
                  "prefer-standby", "preferSecondary"));

  /** Variables of libpq that stand for a parameter of the URL. */
  private static final Map<String, PGProperty> VARIABLES =
      Map.of(
          "PGSSLMODE", PGProperty.SSL_MODE,
          "PGSSLROOTCERT", PGProperty.SSL_ROOT_CERT,
          "PGSSLCERT", PGProperty.SSL_CERT,
          "PGSSLKEY", PGProperty.SSL_KEY,
          "PGOPTIONS", PGProperty.OPTIONS,
          "PGAPPNAME", PGProperty.APPLICATION_NAME);

  /** What {@code psql} has to say of itself. */
  private static final PGProperty OWN_NAME = PGProperty.APPLICATION_NAME;

  /** A root certificate by this name means the authorities that the system trusts, to libpq 16. */
  static final String SYSTEM_TRUST = "system";

  /** The driver's way to the same. */
  static final String JAVA_TRUST = "org.postgresql.ssl.DefaultJavaSSLFactory";

  private DriverProperties() {}

  static Map<String, String> of(Map<String, String> parameters, Map<String, String> environment) {
    Map<String, String> properties = new TreeMap<>();
    VARIABLES.forEach(
        (variable, property) -> {
          @Nullable String value = environment.get(variable);
          if (value != null && !value.isEmpty()) {
            properties.put(property.getName(), value);
          }
        });
    new LinkedHashMap<>(parameters).forEach((name, value) -> put(properties, name, value));
    return properties;
  }

  /** The variables of libpq that mean the same as these properties. */
  static Map<String, String> variables(Map<String, String> properties) {
    Map<String, String> variables = new TreeMap<>();
    VARIABLES.forEach(
        (variable, property) -> {
          @Nullable String value = properties.get(property.getName());
          if (value != null && property != OWN_NAME) {
            variables.put(variable, value);
          }
        });
    // Without it psql looks for a file of the user, and that there is none is why we trust Java's.
    // It refuses the word beside a weaker mode.
    if (JAVA_TRUST.equals(properties.get(PGProperty.SSL_FACTORY.getName()))
        && "verify-full".equals(variables.get("PGSSLMODE"))) {
      variables.put("PGSSLROOTCERT", SYSTEM_TRUST);
    }
    return variables;
  }

  private static void put(Map<String, String> properties, String name, String value) {
    @Nullable PGProperty translated = LIBPQ_NAMES.get(name);
    if (translated != null) {
      properties.put(translated.getName(), translate(name, value));
    } else if (PGProperty.forName(name) != null) {
      properties.put(name, value);
    } else {
      throw new InvalidAddressException(
          "database url",
          "must hold only parameters of libpq or the JDBC driver"
              + NearestWord.to(name, knownNames()).map(known -> ", such as " + known).orElse(""));
    }
  }

  private static List<String> knownNames() {
    return Stream.concat(
            LIBPQ_NAMES.keySet().stream(), Stream.of(PGProperty.values()).map(PGProperty::getName))
        .toList();
  }

  private static String translate(String name, String value) {
    @Nullable Map<String, String> values = LIBPQ_VALUES.get(name);
    if (values == null) {
      return value;
    }
    @Nullable String translated = values.get(value);
    if (translated == null) {
      throw new InvalidAddressException(name, "must be one of " + values.keySet() + ": " + value);
    }
    return translated;
  }
}
