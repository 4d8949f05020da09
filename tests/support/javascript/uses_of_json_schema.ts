// A program that stands on what json-schema-to-typescript makes of the bundle, and on the guide's four lines.
import type { Event, Job, JobCompletedV1, JobState, ToolConfig } from "./contract.js";

declare function run(payload: unknown): string;

export async function work(worker: string): Promise<void> {
  const { result } = await send("jobs.claim", { worker, types: ["sync"] });
  for (const job of result.jobs) {
    const token: string = job.lease;
    const tags: string[] = job.tags;
    await send("jobs.complete", { id: job.id, lease: token, result: { said: run(job.payload), tags } });
  }
  // What has a default may be left out, also inside.
  const { result: other } = await send("jobs.enqueue", { type: "sync", name: "Sync", unique: { key: "k" } });
  const existing: string | undefined = other?.existing;
  const nothing: null = (await send("jobs.cancel", { id: existing ?? "a" })).result;
  void nothing;
  // @ts-expect-error: nobody says who works.
  await send("jobs.claim", {});
  // @ts-expect-error: there is no such field.
  await send("jobs.claim", { worker, kinds: ["sync"] });
  // @ts-expect-error: tags are texts.
  await send("jobs.enqueue", { type: "sync", name: "Sync", tags: [1] });
}

export function described(job: Job, config: ToolConfig): string {
  const state: JobState = job.state;
  // @ts-expect-error: there is no such state.
  if (state === "done") return "";
  return state === "running" ? `${job.worker ?? "somebody"} since ${job.started_at}` : config.tool_name;
}

export function seen(event: Event): unknown {
  if (event.type === "hyperpage.job.completed.v1") {
    const completed: JobCompletedV1 = event.data;
    return completed.result;
  }
  if (event.type === "hyperpage.tool_config.set.v1") return event.data.config;
  // @ts-expect-error: there is no such event.
  if (event.type === "hyperpage.job.done.v1") return null;
  return event.sequence;
}
