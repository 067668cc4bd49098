package dev.cortex.bench.peers;

import com.gruelbox.transactionoutbox.Dialect;
import com.gruelbox.transactionoutbox.Instantiator;
import com.gruelbox.transactionoutbox.Persistor;
import com.gruelbox.transactionoutbox.Submitter;
import com.gruelbox.transactionoutbox.ThreadLocalContextTransactionManager;
import com.gruelbox.transactionoutbox.TransactionManager;
import com.gruelbox.transactionoutbox.TransactionOutbox;
import java.sql.SQLException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;

/**
 * transaction-outbox by gruelbox, the peer with our guarantee: a job's effects and its end are one
 * commit. Worked by the background flush of its README ("Set up the background worker"), as when
 * another process emits: flush without pause, a batch of 1,000, ten threads.
 */
final class Gruelbox implements Peer {
  private static final int THREADS = 10;
  private static final int BATCH = 1_000;

  /** What is scheduled. */
  public interface Job {
    void run(String id, String payload) throws SQLException;
  }

  private final Database database;
  private final ThreadLocalContextTransactionManager transactions;
  private final TransactionOutbox filler;
  private final TransactionOutbox outbox;
  private final ExecutorService threads = Executors.newFixedThreadPool(THREADS);
  private final AtomicLong handled = new AtomicLong();
  private int expected;

  Gruelbox(Database database, boolean hasEffect) {
    this.database = database;
    this.transactions = TransactionManager.fromDataSource(database.pool());
    Instantiator jobs = Instantiator.using(type -> job(hasEffect));
    // Run by nobody: the flush is what is measured.
    this.filler =
        TransactionOutbox.builder()
            .transactionManager(transactions)
            .persistor(Persistor.forDialect(Dialect.POSTGRESQL_9))
            .instantiator(jobs)
            .submitter((entry, processor) -> {})
            .build();
    this.outbox =
        TransactionOutbox.builder()
            .transactionManager(transactions)
            .persistor(Persistor.forDialect(Dialect.POSTGRESQL_9))
            .instantiator(jobs)
            .submitter(Submitter.withExecutor(threads))
            .flushBatchSize(BATCH)
            .build();
  }

  private Job job(boolean hasEffect) {
    return (id, payload) -> {
      if (hasEffect) {
        transactions.requireTransaction(tx -> Database.insertEffect(tx.connection(), id));
      }
      handled.incrementAndGet();
    };
  }

  @Override
  public void fill(int jobs) throws Exception {
    database.execute("truncate txno_outbox");
    for (int i = 0; i < jobs; i += BATCH) {
      int from = i;
      transactions.inTransaction(
          transaction -> {
            for (int job = from; job < Math.min(jobs, from + BATCH); job++) {
              schedule("job-" + job);
            }
          });
    }
    // Else it is due in two minutes, when the attempt by its own emitter is given up.
    database.execute("update txno_outbox set nextattempttime = nextattempttime - interval '1 hour'");
    database.execute("vacuum analyze txno_outbox");
    expected = jobs;
  }

  private void schedule(String id) {
    try {
      filler.schedule(Job.class).run(id, PAYLOAD);
    } catch (SQLException e) {
      throw new IllegalStateException("only the job itself throws it", e);
    }
  }

  @Override
  public long drain() throws Exception {
    handled.set(0);
    while (handled.get() < expected) {
      if (!outbox.flush()) {
        Thread.sleep(2);
      }
    }
    database.awaitEmpty("select from txno_outbox limit 1");
    return handled.get();
  }

  @Override
  public void stop() {}

  @Override
  public void close() {
    threads.shutdown();
  }
}
