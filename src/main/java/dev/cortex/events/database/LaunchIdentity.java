package dev.cortex.events.database;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * As whom PostgreSQL's programs run. They refuse to run as root. A normal user runs them as itself;
 * root runs them in a user namespace, where it is nobody, or else as another user.
 *
 * @param name for messages
 * @param prefix what comes before a command
 * @param user the user who must own the data; empty if that is us
 */
record LaunchIdentity(String name, List<String> prefix, Optional<String> user) {

  static LaunchIdentity detect() {
    if (!isRoot()) {
      return direct();
    }
    if (SystemProcess.works("unshare", "-U", "true")) {
      return namespace();
    }
    String user = SystemProcess.works("id", "-u", "postgres") ? "postgres" : "nobody";
    if (SystemProcess.works("setpriv", "--version")) {
      return setpriv(user);
    }
    if (SystemProcess.works("runuser", "-u", user, "--", "true")) {
      return runuser(user);
    }
    return su(user);
  }

  static LaunchIdentity direct() {
    return new LaunchIdentity("direct", List.of(), Optional.empty());
  }

  static LaunchIdentity namespace() {
    return new LaunchIdentity("unshare", List.of("unshare", "-U"), Optional.empty());
  }

  static LaunchIdentity setpriv(String user) {
    return new LaunchIdentity(
        "setpriv",
        List.of(
            "setpriv",
            "--reuid=" + user,
            "--regid=" + groupOf(user),
            "--clear-groups",
            "--inh-caps=-all"),
        Optional.of(user));
  }

  static LaunchIdentity runuser(String user) {
    return new LaunchIdentity("runuser", List.of("runuser", "-u", user, "--"), Optional.of(user));
  }

  static LaunchIdentity su(String user) {
    return new LaunchIdentity(
        "su",
        List.of("su", "-s", "/bin/sh", "-c", "exec \"$0\" \"$@\"", user, "--"),
        Optional.of(user));
  }

  private static boolean isRoot() {
    try {
      return Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"));
    } catch (IOException | UnsupportedOperationException e) {
      return "root".equals(System.getProperty("user.name"));
    }
  }

  private static String groupOf(String user) {
    try {
      return SystemProcess.run(List.of("id", "-g", user), "").output().strip();
    } catch (IOException e) {
      return user;
    }
  }

  /** Hands a file or directory to the user who runs the programs. */
  void own(Path path) throws IOException {
    if (user.isPresent()) {
      Files.setOwner(
          path,
          path.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName(user.get()));
    }
  }

  /** Whether a file is ours, or was handed to the user who runs the programs. */
  boolean owns(Path path) throws IOException {
    String owner = Files.getOwner(path).getName();
    return user.filter(owner::equals).isPresent() || isOurs(path);
  }

  /** Whether a file belongs to the user who runs this JVM, as a new one does. */
  static boolean isOurs(Path path) throws IOException {
    Path own = Files.createTempFile("cortex", "");
    try {
      return Files.getOwner(path).equals(Files.getOwner(own));
    } finally {
      Files.delete(own);
    }
  }

  List<String> command(String... command) {
    return SystemProcess.concat(prefix, command);
  }
}
