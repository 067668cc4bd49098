package dev.cortex.events.archive;

import java.time.Instant;

/**
 * A file of the archive, as its manifest says.
 *
 * @param name its path within the archive, such as {@code events/2026-01.jsonl.gz}
 * @param holds {@code events} or {@code attempts}
 * @param of the partition, or the event type, that it holds rows of
 * @param database the database that they were in
 * @param identity which server that was, and which table
 * @param rows how many lines it has
 * @param bytes its size, compressed
 * @param sha256 of its bytes, in hexadecimal
 * @param writtenAt when, by the database's clock
 */
public record ArchivedFile(
    String name,
    String holds,
    String of,
    String database,
    String identity,
    long rows,
    long bytes,
    String sha256,
    Instant writtenAt) {}
