/** A worker, until it is told to end. */
import { addressIn, connect, type JobContext, JobFailed, JobSnoozed, Worker } from "hyperpage-client";

const client = await connect(addressIn("data"));
const worker = new Worker(
  client,
  {
    add: ({ payload, calls }: JobContext<{ a: number; b: number }>) => {
      calls(3);
      try {
        calls(-1);
      } catch (error) {
        if (error instanceof RangeError) return payload.a + payload.b;
      }
      throw new JobFailed("-1 calls were believed");
    },
    fail: () => {
      throw new JobFailed("for good", { retryable: false });
    },
    snooze: ({ job }) => {
      if (job.run_at === job.created_at) throw new JobSnoozed(Date.now() + 200);
      return "later";
    },
    wait: ({ signal, progress }) =>
      new Promise((_, reject) => {
        progress(50, "half of it");
        console.log("waiting");
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
  },
  // Neither heartbeats nor polls come in time: it has to hear of what is new.
  { leaseMs: 600_000, graceMs: 0, pollMs: 60_000 },
);
await worker.run();
await client.close();
