// A program that stands on what AsyncAPI's generator of models makes of the document of messages.
import type { Job } from "./contract/Job.js";
import type { JobCompletedV1Event } from "./contract/JobCompletedV1Event.js";
import type { JobState } from "./contract/JobState.js";
import type { JobsClaimAnswer } from "./contract/JobsClaimAnswer.js";
import type { JobsEnqueue } from "./contract/JobsEnqueue.js";

export function leases(answer: JobsClaimAnswer): string[] {
  return answer.result.jobs.flatMap((job) => [job.lease, ...job.tags]);
}

export function described(job: Job): string {
  const state: JobState = job.state;
  // @ts-expect-error: there is no such state.
  if (state === "done") return "";
  return state === "running" ? `${job.worker ?? "somebody"}: ${job.progress?.note ?? ""}` : job.id;
}

// What has a default may be left out, also inside.
export const job: JobsEnqueue = { type: "sync", name: "Sync", unique: { key: "k" }, tags: ["nightly"] };
// @ts-expect-error: nobody says what kind of work it is.
export const vague: JobsEnqueue = { name: "Sync" };

export function seen(event: JobCompletedV1Event): string {
  const type: "hyperpage.job.completed.v1" = event.type;
  // @ts-expect-error: data of this event have no such member.
  void event.data.error;
  return `${type} ${event.subject} ${event.data.result}`;
}
