/**
 * Where the database is and how to reach it: addresses, connection pools, migrations, the meaning
 * of SQLSTATEs, and the embedded PostgreSQL server that runs when no database is named.
 *
 * <p>Read {@link dev.cortex.events.database.DatabaseAddress} first, then {@link
 * dev.cortex.events.database.EmbeddedPostgres} with the script {@code guard.sh} beside it. This
 * package holds no statement of the queue and knows nothing of events; every other package brings
 * its own SQL.
 */
@NullMarked
package dev.cortex.events.database;

import org.jspecify.annotations.NullMarked;
