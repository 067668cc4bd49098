// Obeys the commands of standard input, one a line, and answers with one line of JSON each (see ../README.md).
// A peer is an object with fill(count), drain(), stop(), close(), and sustain(seconds) if it can.
import { createInterface } from "node:readline";

/** As large as the payload of an event in the benchmark: about 190 bytes. */
export const PAYLOAD = {
  task_id: "task-4711",
  worker_id: "worker-7",
  duration_ms: 1234,
  note: "x".repeat(110),
};

/** DATABASE_URL as node-postgres understands it; without it, node-postgres reads the PG* variables. */
export const DATABASE_URL = process.env.DATABASE_URL?.replace(/^jdbc:/, "");

// node-postgres takes "prefer" for "require".
if (["allow", "prefer"].includes(process.env.PGSSLMODE)) delete process.env.PGSSLMODE;

export function tell(answer) {
  process.stdout.write(JSON.stringify(answer) + "\n");
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const LONGEST_DRAIN_MILLISECONDS = 600_000;

/** Waits until a check holds. */
export async function until(check) {
  const start = performance.now();
  while (!(await check())) {
    if (performance.now() - start > LONGEST_DRAIN_MILLISECONDS) throw new Error("not drained in time");
    await pause(2);
  }
}

export async function obey(peer) {
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, number] = line.split(" ");
    switch (command) {
      case "fill":
        await peer.fill(Number(number));
        tell({ filled: Number(number) });
        break;
      case "drain": {
        const start = process.hrtime.bigint();
        const handled = await peer.drain();
        tell({ handled, seconds: Number(process.hrtime.bigint() - start) / 1e9 });
        await peer.stop();
        break;
      }
      case "sustain":
        await peer.sustain(Number(number));
        tell({ ended: true });
        break;
      default:
        throw new Error(`no such command: ${line}`);
    }
  }
  await peer.close();
}
