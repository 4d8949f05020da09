/** The client of hyperpage-persistence: commands, queries, events to follow, and workers for jobs. */
export type { BatchCommand, Outcome } from "./batches.js";
export { type About, addressIn, type Answer, Client, connect, type ConnectOptions, keyOf } from "./client.js";
export { NotInTime, PlaceLost, Refusal, Unreachable } from "./errors.js";
export type { ChangeEvent, EventOf, FollowOptions, TypedEvent } from "./following.js";
export type * from "./types.js";
export { type Handler, JobFailed, JobSnoozed, type JobContext, Worker, type WorkerOptions } from "./worker.js";
