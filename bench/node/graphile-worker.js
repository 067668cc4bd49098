// graphile-worker with the settings of its "Performance" page (https://worker.graphile.org/docs/performance):
// 24 jobs at once, a pool of 25, a local queue of 500, completion in batches without delay.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import pg from "pg";
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { DATABASE_URL, PAYLOAD, obey, pause, tell, until } from "./driver.js";

const JOBS_PER_INSERT = 1_000;
const MOST_WAITING = 20_000;
const TELL_MILLISECONDS = 100;

/** For emptying and looking on; the worker has a pool of its own. */
const pgPool = new pg.Pool({ connectionString: DATABASE_URL, max: 1 });
const logger = new Logger(() => () => {});
const preset = {
  worker: {
    connectionString: DATABASE_URL,
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    logger,
  },
};

async function add(utils, count) {
  const specs = Array.from({ length: count }, () => ({ identifier: "bench", payload: PAYLOAD }));
  await utils.addJobs(specs);
}

class GraphileWorker {
  handled = 0;

  constructor(utils, work) {
    this.utils = utils;
    this.work = work;
  }

  async fill(count) {
    await pgPool.query("truncate graphile_worker._private_jobs");
    for (let left = count; left > 0; left -= JOBS_PER_INSERT) {
      await add(this.utils, Math.min(left, JOBS_PER_INSERT));
    }
    await pgPool.query("vacuum analyze graphile_worker._private_jobs");
    this.expected = count;
  }

  async start() {
    this.handled = 0;
    const bench =
      this.work === "insert"
        ? async (_, helpers) => {
            await helpers.query("insert into cortex_bench.effects (event_id) values ($1)", [helpers.job.id]);
            this.handled++;
          }
        : () => {
            this.handled++;
          };
    this.runner = await run({ preset, taskList: { bench }, noHandleSignals: true });
  }

  async stop() {
    await this.runner.stop();
  }

  async drain() {
    await this.start();
    await until(() => this.handled >= this.expected);
    await until(async () => {
      const { rows } = await pgPool.query("select from graphile_worker._private_jobs limit 1");
      return rows.length === 0;
    });
    return this.handled;
  }

  /** Fed by a thread of its own, so that the feeding takes no time from the jobs. */
  async sustain(seconds) {
    await this.start();
    const waiting = new Int32Array(new SharedArrayBuffer(8)); // handled, stop
    const feeder = new Worker(new URL(import.meta.url), { workerData: { waiting } });
    const end = performance.now() + seconds * 1_000;
    while (performance.now() < end) {
      await pause(TELL_MILLISECONDS);
      Atomics.store(waiting, 0, this.handled);
      tell({ handled: this.handled });
    }
    Atomics.store(waiting, 1, 1);
    await new Promise((resolve) => feeder.on("exit", resolve));
    await this.stop();
  }

  async close() {
    await this.utils.release();
    await pgPool.end();
  }
}

async function feed(waiting) {
  const utils = await makeWorkerUtils({ preset });
  let emitted = 0;
  while (Atomics.load(waiting, 1) === 0) {
    if (emitted - Atomics.load(waiting, 0) < MOST_WAITING) {
      await add(utils, JOBS_PER_INSERT);
      emitted += JOBS_PER_INSERT;
    } else {
      await pause(1);
    }
  }
  await utils.release();
  await pgPool.end();
  parentPort.close();
}

if (isMainThread) {
  const utils = await makeWorkerUtils({ preset });
  await utils.migrate();
  await obey(new GraphileWorker(utils, process.argv[2]));
} else {
  await feed(workerData.waiting);
}
