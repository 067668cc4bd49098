package dev.cortex.bench.peers;

import com.github.kagkarlsson.scheduler.Scheduler;
import com.github.kagkarlsson.scheduler.SchedulerClient;
import com.github.kagkarlsson.scheduler.task.TaskInstance;
import com.github.kagkarlsson.scheduler.task.helper.OneTimeTask;
import com.github.kagkarlsson.scheduler.task.helper.Tasks;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * db-scheduler. Its README ("Polling strategy", {@code pollUsingLockAndFetch}) names lock-and-fetch
 * as the one with the least overhead. 20 threads as in its own benchmark; a fetch of ten times the
 * threads and an interval of 50 ms were the best of three that were tried. The handler's INSERT is
 * a commit of its own: that is how db-scheduler works.
 */
final class DbScheduler implements Peer {
  private static final int THREADS = 20;
  private static final int JOBS_PER_INSERT = 1_000;

  private static final String CREATE =
      """
      create table if not exists scheduled_tasks (
        task_name            text        not null,
        task_instance        text        not null,
        task_data            bytea,
        execution_time       timestamptz not null,
        picked               boolean     not null,
        picked_by            text,
        last_success         timestamptz,
        last_failure         timestamptz,
        consecutive_failures integer,
        last_heartbeat       timestamptz,
        version              bigint      not null,
        priority             smallint,
        primary key (task_name, task_instance)
      );
      create index if not exists execution_time_idx on scheduled_tasks (execution_time);
      create index if not exists last_heartbeat_idx on scheduled_tasks (last_heartbeat);
      """;

  private final Database database;
  private final AtomicLong handled = new AtomicLong();
  private final OneTimeTask<String> task;
  private int expected;
  private Scheduler scheduler;

  DbScheduler(Database database, boolean hasEffect) throws SQLException {
    this.database = database;
    this.task =
        Tasks.oneTime("bench", String.class)
            .execute(
                (instance, context) -> {
                  if (hasEffect) {
                    insertEffect(instance.getId());
                  }
                  handled.incrementAndGet();
                });
    database.execute(CREATE);
  }

  private void insertEffect(String id) {
    try (Connection connection = database.pool().getConnection()) {
      Database.insertEffect(connection, id);
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public void fill(int jobs) throws SQLException {
    database.execute("truncate scheduled_tasks");
    SchedulerClient client = SchedulerClient.Builder.create(database.pool(), task).build();
    Instant now = Instant.now();
    for (int i = 0; i < jobs; i += JOBS_PER_INSERT) {
      List<TaskInstance<?>> some = new ArrayList<>();
      for (int job = i; job < Math.min(jobs, i + JOBS_PER_INSERT); job++) {
        some.add(task.instance("job-" + job, PAYLOAD));
      }
      client.scheduleBatch(some, now);
    }
    database.execute("vacuum analyze scheduled_tasks");
    expected = jobs;
  }

  @Override
  public long drain() throws Exception {
    handled.set(0);
    scheduler =
        Scheduler.create(database.pool(), task)
            .threads(THREADS)
            .pollUsingLockAndFetch(1.0, 10.0)
            .pollingInterval(Duration.ofMillis(50))
            .build();
    scheduler.start();
    while (handled.get() < expected) {
      Thread.sleep(2);
    }
    database.awaitEmpty("select from scheduled_tasks limit 1");
    return handled.get();
  }

  @Override
  public void stop() {
    scheduler.stop();
  }

  @Override
  public void close() {}
}
