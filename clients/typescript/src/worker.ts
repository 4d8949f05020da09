/** A worker for jobs: claims what is due, runs a handler for each, and tells the service how it went. */
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, token, within } from "./client.js";
import { mayEndOtherwise, Refusal, Unreachable } from "./errors.js";
import type { ClaimResult, CommandBody, LeasedJob } from "./types.js";

/** Why a handler is to stop, as the reason of its signal. */
export type StopReason = "cancel_requested" | "lease_lost" | "shutting_down";

/** One attempt at one job, for its handler. */
export interface JobContext<Payload = unknown> {
  readonly job: LeasedJob;
  readonly payload: Payload;
  /** Aborted when the handler is to stop, with the reason; the handler should throw then. */
  readonly signal: AbortSignal;
  /** Reports how far the job is, soon; of several reports in a row, the last is sent. */
  progress(percent?: number, note?: string): void;
  /** Sets how many calls of the job's budget were made; if it is not called, all calls of the budget count. */
  calls(made: number): void;
}

/** Does the work of a job; what it returns is the job's result. Anything that it throws ends the attempt. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Handler<Payload = any> = (context: JobContext<Payload>) => unknown;

/** Thrown by a handler: the attempt failed, and is not retried, or only at `retryAt` (milliseconds since the epoch). */
export class JobFailed extends Error {
  override readonly name = "JobFailed";

  constructor(
    message: string,
    readonly options: { retryable?: boolean; retryAt?: number } = {},
  ) {
    super(message);
  }
}

/** Thrown by a handler: the job is given back until `until`, in milliseconds since the epoch; the attempt does not count. */
export class JobSnoozed extends Error {
  override readonly name = "JobSnoozed";

  constructor(readonly until: number) {
    super(`until ${until}`);
  }
}

export interface WorkerOptions {
  queue?: string;
  /** How many jobs the worker has at a time. */
  concurrency?: number;
  leaseMs?: number;
  /** How often the worker asks for jobs that no event told of. */
  pollMs?: number;
  /** How long handlers may go on when the worker is told to stop. */
  graceMs?: number;
  /** The name of the worker in the rows of its jobs. */
  name?: string;
  /** The version of the worker's program, for users who look at the workers. */
  version?: string;
  /** Called with errors that keep it from work: a claim without an answer, a lease that was lost, a report that was not taken. */
  onTrouble?: (error: unknown) => void;
}

const MAKE_DUE = ["enqueued", "replaced", "released", "retried", "dependency_met", "group_met", "interrupted", "snoozed", "rescheduled", "rescued", "attempt_failed", "attempt_timed_out"];
// Ends of attempts of which no other change tells: a worker that waits for ends listens to these, too.
const ENDS = ["completed", "failed", "cancelled"];
// All changes that may end an attempt, which frees its place in each limit that it counted for.
const FREE_A_PLACE = [...ENDS, "timed_out", "attempt_failed", "attempt_timed_out", "rescued", "snoozed", "interrupted"];
// Changes of a job that its worker should look into at once: a heartbeat would tell it up to a third of a lease later.
const CONCERN_RUNNING = ["cancel_requested", "rescued", "attempt_timed_out", "timed_out"];
// The most types that a claim names.
const MAXIMUM_TYPES = 100;
const MAXIMUM_ERROR = 10_000;
const REFUSED = "the attempt's ";
const PROGRESS_MS = 500;
const LEAVE_MS = 5_000;
const EMPTY_PAUSE_MS = 50;
const NOTHING: ClaimResult = { jobs: [] };
// The longest lease: after that, no report is of any use.
const REPORT_MS = 3_600_000;

/** The fields of each report: the job, its lease, and how many calls were made, if the handler has set that. */
interface Held {
  readonly id: string;
  readonly lease: string;
  calls?: number;
}

interface Attempt {
  readonly held: { id: string; lease: string };
  readonly stop: AbortController;
  readonly ended: AbortController;
  readonly look: Look;
  readonly done: Promise<void>;
}

/** A signal that an event of a job has come; it is kept if nothing waits for it yet. */
class Look {
  private isWanted = false;
  private wake = () => {};

  now(): void {
    this.isWanted = true;
    this.wake();
  }

  /** Returns when `now` is called (or was before), after that time, or when the signal is aborted. */
  async within(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.isWanted && !signal.aborted)
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener("abort", done);
        this.wake = done;
      });
    this.isWanted = false;
  }
}

interface HeardEvent {
  type?: string;
  subject?: string;
  time?: string;
  data?: EventData | null;
}

interface EventData {
  queue?: string;
  type?: string;
  run_at?: number;
  next_run_at?: number;
}

/** Runs the jobs of a queue whose types it has handlers for. */
export class Worker {
  private readonly options: Required<Omit<WorkerOptions, "version">> & Pick<WorkerOptions, "version">;
  private readonly attempts = new Map<string, Attempt>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private stopping = false;
  private isOver = false;
  private ends: ReturnType<Worker["hear"]> = [];
  private waitsForEnds = false;
  // Whether an attempt has ended since the last claim was sent, which may have been decided before.
  private heardAnEnd = false;
  private wake = () => {};

  constructor(
    private readonly client: Client,
    private readonly handlers: Readonly<Record<string, Handler>>,
    options: WorkerOptions = {},
  ) {
    this.options = {
      queue: "default",
      concurrency: 10,
      leaseMs: 30_000,
      pollMs: 5_000,
      graceMs: 10_000,
      name: `${hostname().slice(0, 150)}:${process.pid}`,
      onTrouble: () => {},
      ...options,
    };
    const { concurrency, leaseMs, pollMs } = this.options;
    if (!(concurrency >= 1 && concurrency <= 1_000)) throw new RangeError(`1 to 1,000 jobs at a time, not ${concurrency}`);
    if (!(leaseMs >= 1_000 && leaseMs <= REPORT_MS)) throw new RangeError(`a lease is 1,000 to 3,600,000 ms, not ${leaseMs}`);
    const types = Object.keys(handlers).length;
    if (!(types >= 1 && types <= MAXIMUM_TYPES)) throw new RangeError(`a worker has handlers of 1 to ${MAXIMUM_TYPES} types, not of ${types}`);
    if (!(pollMs > 0)) throw new RangeError(`pollMs is more than 0, not ${pollMs}`);
  }

  /** Works until `stop` is called, or SIGTERM or SIGINT comes; then every job is done or given back. */
  async run(): Promise<void> {
    const stop = () => this.stop();
    const { queue } = this.options;
    const changes = [...new Set([...MAKE_DUE, ...CONCERN_RUNNING])].map((change) => `jobs.*.${change}`);
    const heard = this.hear([...changes, ...["resumed", "limited"].map((change) => `queues.${token(queue)}.${change}`)]);
    for (const one of ["SIGTERM", "SIGINT"] as const) process.on(one, stop);
    try {
      await this.work();
      await this.finish();
    } finally {
      for (const one of [...heard, ...this.ends]) one.unsubscribe();
      for (const one of this.timers) clearTimeout(one);
      for (const one of ["SIGTERM", "SIGINT"] as const) process.off(one, stop);
    }
  }

  /** Has `run` end: no more claims, and handlers have the grace period. */
  stop(): void {
    this.stopping = true;
    this.wake();
  }

  private hear(subjects: readonly string[]) {
    const { client } = this;
    return subjects.map((one) => {
      const change = one.slice(one.lastIndexOf(".") + 1);
      const take = (event: HeardEvent) => {
        if (CONCERN_RUNNING.includes(change)) this.lookInto(event.subject);
        if (FREE_A_PLACE.includes(change)) {
          this.heardAnEnd = true;
          if (this.waitsForEnds) this.wake();
        }
        if (MAKE_DUE.includes(change) || ["resumed", "limited"].includes(change)) this.dueAt(event);
      };
      return client.listen(`${client.prefix}.evt.v1.${one}`, (error, message) => (error === null ? take(message.json()) : this.options.onTrouble(error)));
    });
  }

  /** Has a heartbeat sent now for a job, if this worker has it. */
  private lookInto(subject: string | undefined): void {
    for (const one of this.attempts.values()) if (subject === `jobs/${one.held.id}`) one.look.now();
  }

  /** Wakes the worker when the job of an event is due; both times of the event are by the service's clock. */
  private dueAt(event: HeardEvent): void {
    const isNew = /\.(enqueued|replaced)\.v1$/.test(event.type ?? "");
    if (isNew && ((event.data?.queue ?? "default") !== this.options.queue || !((event.data?.type ?? "") in this.handlers))) return;
    const at = event.data?.next_run_at ?? event.data?.run_at;
    const wait = at === undefined || event.time === undefined ? 0 : at - Date.parse(event.time);
    if (wait <= 0) return this.wake();
    // A job that is due later than the next poll is found by a poll.
    if (wait > this.options.pollMs || this.timers.size > 1_000) return;
    const timer = setTimeout(() => (this.timers.delete(timer), this.wake()), wait);
    this.timers.add(timer);
  }

  private async work(): Promise<void> {
    const { name: worker, queue, leaseMs: lease_ms, concurrency, pollMs, version } = this.options;
    const about = { host: hostname().slice(0, 200) || null, ...(version === undefined ? {} : { version }) };
    while (!this.stopping) {
      // Events are listened to from before the claim is sent, so that none is missed.
      const heard = new Promise<void>((resolve) => (this.wake = resolve));
      const limit = Math.min(concurrency - this.attempts.size, 100);
      const asked = { worker, queue, types: Object.keys(this.handlers), lease_ms, limit, ...about };
      const askedAt = Date.now();
      this.heardAnEnd = false;
      const { jobs, retry_after_ms, waits_for_ends } = limit > 0 ? await this.claimed(asked) : NOTHING;
      if (limit > 0) this.waitsForEnds = waits_for_ends ?? false;
      if (this.waitsForEnds && this.heardAnEnd) this.wake();
      if (this.waitsForEnds && this.ends.length === 0) {
        this.ends = this.hear(ENDS.map((change) => `jobs.*.${change}`));
        // A job may have ended in the meantime.
        this.wake();
      }
      const isLate = Date.now() - askedAt > lease_ms / 3;
      for (const job of jobs) {
        const held = { id: job.id, lease: job.lease };
        const [stop, ended] = [new AbortController(), new AbortController()];
        const look = new Look();
        const done = this.attempt(job, held, stop, ended, look, isLate);
        this.attempts.set(job.lease, { held, stop, ended, look, done });
      }
      if (jobs.length === 0 && !this.stopping) {
        const over = new AbortController();
        // After `retry_after_ms`, jobs that wait for calls of a rate limit or for the end of a window may run; a poll may come sooner,
        // for jobs of which no event told. The pause is random, so that workers that began together do not ask together for ever.
        const pause = Math.min(pollMs * (0.75 + Math.random() / 2), (retry_after_ms ?? Infinity) * (1 + Math.random() / 4));
        await Promise.race([heard, sleep(pause, undefined, { signal: over.signal }).catch(() => {})]);
        over.abort();
        if (limit > 0) await sleep(EMPTY_PAUSE_MS);
      }
    }
  }

  /** The answer to a claim, which is sent under one id until it is answered: otherwise, no worker would have its jobs for a lease. */
  private async claimed(body: CommandBody<"jobs.claim">): Promise<ClaimResult> {
    const commandId = crypto.randomUUID();
    while (!this.stopping) {
      try {
        return (await this.client.send("jobs.claim", body, { commandId })).result;
      } catch (error) {
        const isPassing = error instanceof Unreachable || (error instanceof Refusal && (mayEndOtherwise(error) || error.code === "internal"));
        if (!isPassing || this.client.nats.isClosed()) throw error;
        this.options.onTrouble(error);
        await sleep(1_000);
      }
    }
    return NOTHING;
  }

  private async attempt(
    job: LeasedJob,
    held: Attempt["held"],
    stop: AbortController,
    ended: AbortController,
    look: Look,
    isLate: boolean,
  ): Promise<void> {
    // If the answer to the claim came late, another worker may have the job. A worker that stops begins no job.
    if (isLate) await this.beat(held, stop);
    if (this.stopping && !stop.signal.aborted) stop.abort("shutting_down" satisfies StopReason);
    const lease = this.keepLease(held, stop, look, ended.signal);
    let told: { percent?: number; note?: string } | undefined;
    const telling = setInterval(() => {
      if (told === undefined) return;
      const said = { ...held, ...told };
      told = undefined;
      this.client.send("jobs.progress", said).catch(() => {});
    }, PROGRESS_MS).unref();
    const progress = (percent?: number, note?: string) => {
      told = { ...(percent === undefined ? {} : { percent }), ...(note === undefined ? {} : { note }) };
    };
    const said: Held = { ...held };
    const calls = (made: number) => {
      // Here, the handler gets the error. The service would refuse the report of finished work.
      if (!Number.isSafeInteger(made) || made < 0) throw new RangeError(`not a number of calls: ${made}`);
      said.calls = made;
    };
    let report: () => Promise<void>;
    try {
      stop.signal.throwIfAborted();
      const result = await this.handlers[job.type]!({ job, payload: job.payload, signal: stop.signal, progress, calls });
      try {
        JSON.stringify({ result });
      } catch (error) {
        // Not retryable: the work has been done, and the next attempt would return the same.
        throw new JobFailed(`the result cannot be written as JSON: ${error}`, { retryable: false });
      }
      report = () => this.reported("jobs.complete", { ...said, ...(result === undefined ? {} : { result }) });
    } catch (error) {
      report = () => this.endedWith(error, said, stop.signal.aborted ? (stop.signal.reason as StopReason) : undefined);
    } finally {
      clearInterval(telling);
      ended.abort();
      await lease;
    }
    if (stop.signal.reason !== "lease_lost") await report();
    this.attempts.delete(held.lease);
    this.wake();
  }

  private async endedWith(error: unknown, held: Held, reason: StopReason | undefined): Promise<void> {
    if (reason === "cancel_requested") return this.reported("jobs.ack_cancel", held);
    if (reason !== undefined) return this.reported("jobs.interrupt", held);
    if (error instanceof JobSnoozed) return this.reported("jobs.snooze", { ...held, run_at: error.until });
    const { retryable = true, retryAt } = error instanceof JobFailed ? error.options : {};
    const said = error instanceof JobFailed ? error.message : String(error);
    return this.reported("jobs.fail", {
      ...held,
      error: said.slice(0, MAXIMUM_ERROR),
      retryable,
      ...(retryAt === undefined ? {} : { retry_at: retryAt }),
      ...(error instanceof Error && error.stack ? { traceback: error.stack.slice(0, MAXIMUM_ERROR) } : {}),
    });
  }

  private async keepLease(held: Attempt["held"], stop: AbortController, look: Look, ended: AbortSignal): Promise<void> {
    for (;;) {
      await look.within(this.options.leaseMs / 3, ended);
      if (ended.aborted || !(await this.beat(held, stop))) return;
    }
  }

  /** Renews the lease; returns whether the job is still this worker's, as far as the service told. */
  private async beat(held: Attempt["held"], stop: AbortController): Promise<boolean> {
    try {
      const { result } = await this.client.send("jobs.heartbeat", held, { timeoutMs: this.options.leaseMs / 3 });
      if (result.cancel_requested && !stop.signal.aborted) stop.abort("cancel_requested" satisfies StopReason);
    } catch (error) {
      // After any other error, the lease may still be good: it may outlast the trouble of the service.
      if (error instanceof Refusal && (error.code === "refused" || error.code === "not_found")) {
        this.options.onTrouble(error);
        stop.abort("lease_lost" satisfies StopReason);
        return false;
      }
    }
    return true;
  }

  /** Sends a report; returns when the service has taken it, or does not want it any more. */
  private async reported<Name extends "jobs.complete" | "jobs.fail" | "jobs.snooze" | "jobs.interrupt" | "jobs.ack_cancel">(
    name: Name,
    body: CommandBody<Name>,
  ): Promise<void> {
    const commandId = crypto.randomUUID();
    const until = Date.now() + REPORT_MS;
    while (Date.now() < until && !this.isOver) {
      try {
        await this.client.send(name, body, { commandId });
        return;
      } catch (error) {
        this.options.onTrouble(error);
        if (this.client.nats.isClosed()) return;
        if (error instanceof Refusal && !["busy", "unavailable", "internal"].includes(error.code)) {
          // A stale lease ends it. Otherwise, the result was too large, or the like.
          if (error.code === "refused" || error.code === "not_found") return;
          const { calls, ...others } = body;
          // The service is too old for the number of calls; without it, all calls count.
          if (calls != null && error.code === "invalid") return this.reported(name, others as CommandBody<Name>);
          const { id, lease, error: text = "", retryable, traceback, ...rest } = body as CommandBody<"jobs.fail">;
          // The traceback may hold what looks like a credential, or the service may be too old for it; the failure is still reported.
          if (traceback != null) return this.reported("jobs.fail", { ...rest, id, lease, error: text, ...(retryable === undefined ? {} : { retryable }) });
          if (text.startsWith(REFUSED)) return;
          const [what, again] = name === "jobs.fail" ? ["error", retryable ?? true] : ["result", false];
          const said = `${REFUSED}${what} was refused: ${error.code}: ${error.message}`;
          return this.reported("jobs.fail", { id, lease, error: said.slice(0, MAXIMUM_ERROR), retryable: again });
        }
        await sleep(1_000);
      }
    }
  }

  private async finish(): Promise<void> {
    const all = () => Promise.allSettled([...this.attempts.values()].map((one) => one.done));
    await within(this.options.graceMs, all());
    for (const one of this.attempts.values()) one.stop.abort("shutting_down" satisfies StopReason);
    await within(LEAVE_MS, all());
    // The jobs that are left then are given back all the same.
    await within(LEAVE_MS, Promise.allSettled([...this.attempts.values()].map((one) => this.reported("jobs.interrupt", one.held))));
    // A handler that never ends keeps no process alive.
    this.isOver = true;
    for (const one of this.attempts.values()) one.ended.abort();
  }
}
