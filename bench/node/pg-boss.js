// pg-boss with what its type documentation (dist/types.d.ts) and https://pgboss.io/api/workers offer for
// throughput: large batches, two local workers, and fetching again at once while batches come back full. The
// shortest interval between polls that it accepts. With an effect, `transactional`: the effects of a batch commit
// with its completion, which is also the faster way.
import pg from "pg";
import { PgBoss } from "pg-boss";
import { DATABASE_URL, PAYLOAD, obey, until } from "./driver.js";

const QUEUE = "bench";
const JOBS_PER_INSERT = 1_000;
const WORK = { batchSize: 500, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 2 });

class Boss {
  handled = 0;

  constructor(boss, work) {
    this.boss = boss;
    this.work = work;
  }

  async fill(count) {
    await pool.query("truncate pgboss.job");
    for (let left = count; left > 0; left -= JOBS_PER_INSERT) {
      const jobs = Array.from({ length: Math.min(left, JOBS_PER_INSERT) }, () => ({ data: PAYLOAD }));
      await this.boss.insert(QUEUE, jobs);
    }
    await pool.query("vacuum analyze pgboss.job");
    this.expected = count;
  }

  async drain() {
    this.handled = 0;
    if (this.work === "insert") {
      await this.boss.work(QUEUE, { ...WORK, transactional: true }, async (jobs, tx) => {
        for (const job of jobs) {
          await tx.executeSql("insert into cortex_bench.effects (event_id) values ($1)", [job.id]);
        }
        this.handled += jobs.length;
      });
    } else {
      await this.boss.work(QUEUE, WORK, async (jobs) => {
        this.handled += jobs.length;
      });
    }
    await until(() => this.handled >= this.expected);
    await until(async () => {
      const { rows } = await pool.query("select from pgboss.job where state < 'completed' limit 1");
      return rows.length === 0;
    });
    return this.handled;
  }

  async stop() {
    await this.boss.offWork(QUEUE);
  }

  async close() {
    await this.boss.stop({ graceful: false });
    await pool.end();
    process.exit(0);
  }
}

const boss = new PgBoss({ connectionString: DATABASE_URL, max: 10, supervise: false, schedule: false });
boss.on("error", (error) => console.error(error));
await boss.start();
await boss.createQueue(QUEUE);
await obey(new Boss(boss, process.argv[2]));
