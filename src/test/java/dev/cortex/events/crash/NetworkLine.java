package dev.cortex.events.crash;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A line to the database that can be cut: from then on nothing comes through it, and neither end
 * hears of that, until it is mended.
 */
final class NetworkLine implements AutoCloseable {
  private final URI server;
  private final ServerSocket door;
  private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition mended = lock.newCondition();
  private boolean isCut;

  private NetworkLine(URI server) throws IOException {
    this.server = server;
    this.door = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  }

  /** A line to the server of this JDBC URL. */
  static NetworkLine to(String url) throws IOException {
    NetworkLine line = new NetworkLine(URI.create(url.substring("jdbc:".length())));
    start(line::accept);
    return line;
  }

  /** The same URL by way of this line. */
  String url() {
    return "jdbc:"
        + server
            .toString()
            .replace(
                server.getAuthority(),
                door.getInetAddress().getHostAddress() + ":" + door.getLocalPort());
  }

  void cut() {
    set(true);
  }

  void mend() {
    set(false);
  }

  private void set(boolean cut) {
    lock.lock();
    try {
      isCut = cut;
      mended.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void awaitMended() {
    lock.lock();
    try {
      while (isCut) {
        mended.awaitUninterruptibly();
      }
    } finally {
      lock.unlock();
    }
  }

  private static void start(Runnable run) {
    Thread thread = new Thread(run, "network-line");
    thread.setDaemon(true);
    thread.start();
  }

  private void accept() {
    try {
      while (true) {
        Socket near = door.accept();
        awaitMended();
        Socket far = new Socket(server.getHost(), server.getPort());
        sockets.add(near);
        sockets.add(far);
        start(() -> carry(near, far));
        start(() -> carry(far, near));
      }
    } catch (IOException e) {
      // Closed.
    }
  }

  private void carry(Socket from, Socket to) {
    byte[] bytes = new byte[8192];
    try (from;
        to) {
      for (int read = from.getInputStream().read(bytes);
          read >= 0;
          read = from.getInputStream().read(bytes)) {
        awaitMended();
        to.getOutputStream().write(bytes, 0, read);
      }
      awaitMended();
    } catch (IOException e) {
      // One of the ends is gone, and so the other one goes.
    }
  }

  @Override
  public void close() throws IOException {
    mend();
    door.close();
    for (Socket socket : sockets) {
      socket.close();
    }
  }
}
