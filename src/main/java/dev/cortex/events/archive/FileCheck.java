package dev.cortex.events.archive;

import java.util.Optional;

/**
 * What a look at a file of the archive found.
 *
 * @param name its path within the archive
 * @param defect what is wrong with it; absent: nothing
 */
public record FileCheck(String name, Optional<String> defect) {}
