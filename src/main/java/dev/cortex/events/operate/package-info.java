/**
 * What operators do and see: the verbs (retry, redrive, cancel, pause, resume) and the questions
 * (queue, dead letters, audit, trace, the log and following it).
 *
 * <p>Read first: {@code Operations}. The rules are the database's, in functions and views that psql
 * users have as well; nothing in here has a right or a rule of its own, and nothing runs handlers.
 */
@NullMarked
package dev.cortex.events.operate;

import org.jspecify.annotations.NullMarked;
