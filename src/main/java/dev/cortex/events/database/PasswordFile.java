package dev.cortex.events.database;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFilePermission;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A password file of libpq: lines {@code host:port:database:user:password}, where {@code *} matches
 * anything and a backslash takes the next character as it is. As in libpq, a file that others may
 * read is passed over.
 */
record PasswordFile(Path path) {
  private static final Set<PosixFilePermission> OTHERS =
      Set.of(
          PosixFilePermission.GROUP_READ,
          PosixFilePermission.GROUP_WRITE,
          PosixFilePermission.GROUP_EXECUTE,
          PosixFilePermission.OTHERS_READ,
          PosixFilePermission.OTHERS_WRITE,
          PosixFilePermission.OTHERS_EXECUTE);

  /** The file that {@code PGPASSFILE} names, else {@code ~/.pgpass}. */
  static PasswordFile fromEnvironment(Map<String, String> environment) {
    @Nullable String named = environment.get("PGPASSFILE");
    return new PasswordFile(
        named != null && !named.isEmpty()
            ? Path.of(named)
            : ServerHome.userHome(environment).resolve(".pgpass"));
  }

  static String line(DatabaseHost host, String database, String user, String password) {
    return String.join(
        ":",
        escape(host.name()),
        Integer.toString(host.port()),
        escape(database),
        escape(user),
        escape(password));
  }

  Optional<String> password(DatabaseHost host, String database, String user) {
    List<String> wanted = List.of(host.name(), Integer.toString(host.port()), database, user);
    return lines().stream()
        .filter(line -> !line.startsWith("#"))
        .map(PasswordFile::fields)
        .filter(fields -> fields.size() == 5 && matches(fields, wanted))
        .map(fields -> fields.get(4))
        .findFirst();
  }

  private List<String> lines() {
    try {
      return isPrivate() ? Files.readAllLines(path, StandardCharsets.UTF_8) : List.of();
    } catch (IOException e) {
      return List.of(); // as libpq: an unreadable file holds no password
    }
  }

  private boolean isPrivate() throws IOException {
    if (!Files.isRegularFile(path)) {
      return false;
    }
    @Nullable PosixFileAttributeView view =
        Files.getFileAttributeView(path, PosixFileAttributeView.class);
    return view == null || view.readAttributes().permissions().stream().noneMatch(OTHERS::contains);
  }

  private static boolean matches(List<String> fields, List<String> wanted) {
    for (int i = 0; i < wanted.size(); i++) {
      if (!fields.get(i).equals("*") && !fields.get(i).equals(wanted.get(i))) {
        return false;
      }
    }
    return true;
  }

  private static List<String> fields(String line) {
    List<String> fields = new ArrayList<>();
    StringBuilder field = new StringBuilder();
    for (int i = 0; i < line.length(); i++) {
      char c = line.charAt(i);
      if (c == '\\' && i + 1 < line.length()) {
        i++;
        field.append(line.charAt(i));
      } else if (c == ':') {
        fields.add(field.toString());
        field.setLength(0);
      } else {
        field.append(c);
      }
    }
    fields.add(field.toString());
    return fields;
  }

  private static String escape(String field) {
    return field.replace("\\", "\\\\").replace(":", "\\:");
  }
}
