package dev.cortex.events.archive;

import dev.cortex.events.file.DurableFiles;
import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Set;
import java.util.zip.GZIPOutputStream;

/**
 * Writes one file of the archive: under another name until it is whole and on the disk, then its
 * manifest likewise. So what has a manifest survived, whatever happens after.
 */
final class ArchiveWriter implements Closeable {
  static final String PART = ".part";
  static final int PIECE_BYTES = 64 * 1024;

  private final ArchiveDirectory directory;
  private final String name;
  private final FileChannel channel;
  private final DigestOutputStream digested;
  private final Compression compressed;
  private long rows;

  private ArchiveWriter(ArchiveDirectory directory, String name, FileChannel channel)
      throws IOException {
    this.directory = directory;
    this.name = name;
    this.channel = channel;
    this.digested =
        new DigestOutputStream(
            new BufferedOutputStream(Channels.newOutputStream(channel), PIECE_BYTES), sha256());
    this.compressed = new Compression(digested);
  }

  static ArchiveWriter open(ArchiveDirectory directory, String name) throws IOException {
    directory.prepare(name);
    return new ArchiveWriter(directory, name, created(directory.path(name + PART)));
  }

  /** What has this name was left by a run that was killed: one run at a time is in a directory. */
  private static FileChannel created(Path path) throws IOException {
    Files.deleteIfExists(path);
    return FileChannel.open(
        path,
        Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS),
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
  }

  void add(String line) throws IOException {
    compressed.write(line.getBytes(StandardCharsets.UTF_8));
    compressed.write('\n');
    rows++;
  }

  /** Makes the file durable, then its manifest. */
  ArchivedFile finish(String holds, String of, String database, String identity, Instant now)
      throws IOException {
    compressed.finish();
    digested.flush();
    long bytes = channel.size();
    channel.force(true);
    channel.close();
    move(name + PART, name);
    String sha256 = hex(digested.getMessageDigest().digest());
    ArchivedFile file =
        new ArchivedFile(name, holds, of, database, identity, rows, bytes, sha256, now);
    writeManifest(file);
    return file;
  }

  private void writeManifest(ArchivedFile file) throws IOException {
    String manifest = name + Manifest.SUFFIX;
    try (FileChannel target = created(directory.path(manifest + PART));
        OutputStream out = Channels.newOutputStream(target)) {
      out.write(Manifest.text(file).getBytes(StandardCharsets.UTF_8));
      target.force(true);
    }
    move(manifest + PART, manifest);
  }

  /** The new name is on the disk when this returns. */
  private void move(String from, String to) throws IOException {
    Path target = directory.path(to);
    Files.move(directory.path(from), target); // which replaces nothing
    DurableFiles.forceNameOf(target);
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }

  static String hex(byte[] digest) {
    return HexFormat.of().formatHex(digest);
  }

  @Override
  public void close() throws IOException {
    compressed.release();
    channel.close();
  }

  /** Gives the memory of the compression back without finishing it, as a run that fails does. */
  private static final class Compression extends GZIPOutputStream {
    Compression(OutputStream out) throws IOException {
      super(out, PIECE_BYTES);
    }

    void release() {
      def.end();
    }
  }
}
