package dev.cortex.events.database;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * A URL as it was written, taken apart: {@code postgresql://}, {@code postgres://} or {@code
 * jdbc:postgresql://}, then {@code user:password@host:port,host:port/database?name=value}. Every
 * part may be missing. No message repeats the URL or a part of it, since it may hold a password, in
 * a place where none is expected too: one that holds an unescaped {@code /} or {@code ?}.
 */
record DatabaseUrl(
    List<Endpoint> endpoints,
    Optional<String> database,
    Optional<String> user,
    Optional<String> password,
    Map<String, String> parameters) {

  /** A host whose port may be missing. */
  record Endpoint(String name, Optional<String> port) {}

  private static final String SUBJECT = "database url";

  static DatabaseUrl parse(String url) {
    String rest = afterScheme(url.strip());
    int question = rest.indexOf('?');
    String query = question < 0 ? "" : rest.substring(question + 1);
    String location = question < 0 ? rest : rest.substring(0, question);
    requireLoginFirst(location, query);
    Map<String, String> parameters = parameters(query);
    int slash = location.indexOf('/');
    String authority = slash < 0 ? location : location.substring(0, slash);
    Optional<String> path = slash < 0 ? Optional.empty() : given(location.substring(slash + 1));

    int at = authority.lastIndexOf('@');
    String login = at < 0 ? "" : authority.substring(0, at);
    int colon = login.indexOf(':');
    Optional<String> user = given(colon < 0 ? login : login.substring(0, colon));
    Optional<String> password = colon < 0 ? Optional.empty() : given(login.substring(colon + 1));
    List<Endpoint> endpoints = endpoints(authority.substring(at + 1));

    // libpq and the JDBC driver both allow these four as parameters.
    Optional<String> host = take(parameters, "host");
    Optional<String> port = take(parameters, "port");
    return new DatabaseUrl(
        host.map(name -> List.of(new Endpoint(name, port))).orElse(endpoints),
        take(parameters, "dbname").or(() -> path),
        take(parameters, "user").or(() -> user),
        take(parameters, "password").or(() -> password),
        parameters);
  }

  /**
   * An @ behind the host ends a login that was cut off at its / or ?; the rest of a password would
   * be taken for a host, a database or a parameter. Only in a parameter may it stand for itself.
   */
  private static void requireLoginFirst(String location, String query) {
    int slash = location.indexOf('/');
    if (slash < 0 ? query.indexOf('@') >= 0 : location.indexOf('@', slash) >= 0) {
      throw new InvalidAddressException(
          SUBJECT,
          "must have its @ before the first / and ?; in a user or password write / as %2F and ? as"
              + " %3F, anywhere else @ as %40");
    }
  }

  private static String afterScheme(String url) {
    String plain =
        url.toLowerCase(Locale.ROOT).startsWith("jdbc:") ? url.substring("jdbc:".length()) : url;
    int end = plain.indexOf("://");
    String scheme = end < 0 ? "" : plain.substring(0, end).toLowerCase(Locale.ROOT);
    if (!scheme.equals("postgresql") && !scheme.equals("postgres")) {
      throw new InvalidAddressException(
          SUBJECT, "must begin with postgresql://, postgres:// or jdbc:postgresql://");
    }
    return plain.substring(end + "://".length());
  }

  static List<Endpoint> endpoints(String hosts) {
    List<Endpoint> endpoints = new ArrayList<>();
    for (String host : hosts.split(",", -1)) {
      if (!host.isEmpty()) {
        endpoints.add(endpoint(host));
      }
    }
    return endpoints;
  }

  private static Endpoint endpoint(String host) {
    int bracket = host.lastIndexOf(']');
    if (host.startsWith("[") && bracket < 0) {
      throw new InvalidAddressException("host", "an address in [ needs its ]");
    }
    int colon = host.indexOf(':', Math.max(bracket, 0));
    String name = colon < 0 ? host : host.substring(0, colon);
    return new Endpoint(
        decode(name.startsWith("[") ? name.substring(1, name.length() - 1) : name),
        colon < 0 ? Optional.empty() : given(host.substring(colon + 1)));
  }

  private static Map<String, String> parameters(String query) {
    Map<String, String> parameters = new LinkedHashMap<>();
    for (String pair : query.split("&", -1)) {
      if (pair.isEmpty()) {
        continue;
      }
      int equals = pair.indexOf('=');
      if (equals < 1) {
        throw new InvalidAddressException(SUBJECT, "every parameter must be written name=value");
      }
      parameters.put(decode(pair.substring(0, equals)), decode(pair.substring(equals + 1)));
    }
    return parameters;
  }

  private static Optional<String> take(Map<String, String> parameters, String name) {
    return Optional.ofNullable(parameters.remove(name)).filter(value -> !value.isEmpty());
  }

  private static Optional<String> given(String encoded) {
    return encoded.isEmpty() ? Optional.empty() : Optional.of(decode(encoded));
  }

  /** Percent decoding in which {@code +} stands for itself, as in libpq. */
  private static String decode(String encoded) {
    try {
      return URLDecoder.decode(encoded.replace("+", "%2B"), StandardCharsets.UTF_8);
    } catch (IllegalArgumentException e) {
      throw new InvalidAddressException(SUBJECT, "a % must be followed by two hexadecimal digits");
    }
  }

  /** Without the password and the parameters, which may hold secrets too. */
  @Override
  public String toString() {
    return "DatabaseUrl[" + endpoints + "/" + database.orElse("") + "]";
  }
}
