/** The client of a service, with all that it can do. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  connect as connectToNats,
  type ConnectionOptions,
  credsAuthenticator,
  type Msg,
  type NatsConnection,
  nkeyAuthenticator,
  type Subscription,
} from "@nats-io/transport-node";
import { serversIn } from "./addresses.js";
import { Questions } from "./asking.js";
import { type BatchCommand, type Outcome, outcomesOf } from "./batches.js";
import { keptAnswer, sendDurable, store } from "./durable.js";
import { mayEndOtherwise, NotInTime, Refusal, refusalIn, Unreachable } from "./errors.js";
import { type ChangeEvent, type EventOf, follow, type FollowOptions } from "./following.js";
import type { CommandBody, CommandName, CommandResult, JobRow, QueryAnswer, QueryBody, QueryName, TableName } from "./types.js";

const ANSWER_MS = 5_000;
const DURABLE_ANSWER_MS = 30_000;
const CONNECT_MS = 10_000;
const ATTEMPT_MS = 2_000;
const LEAST_ATTEMPT_MS = 500;
const CLOSE_MS = 5_000;
// The time for the last look at a job, when all the time is up. It takes milliseconds, if the service is there.
const LAST_LOOK_MS = 250;
const JOB_ENDS = ["completed", "failed", "cancelled", "timeout"];

/** The answer to an accepted command; what it says is on disk. */
export interface Answer<Result = unknown> {
  readonly command_id: string;
  readonly stream: string | null;
  readonly version: number | null;
  readonly position: number | null;
  readonly timeline: number;
  readonly events: string[];
  readonly result: Result;
}

/** The key of what a command was about, such as a job's id; empty where it was about several. */
export function keyOf({ stream }: Answer): string {
  return stream?.slice(stream.indexOf("/") + 1) ?? "";
}

/** The fields that may be added to a command. Under its id, it is carried out once, however often it is sent. */
export interface About {
  commandId?: string;
  /** The version that the command's stream must be at, 0 if it must not exist. */
  expectedVersion?: number;
  actor?: string;
  correlationId?: string;
  causationId?: string;
  traceparent?: string;
  timeoutMs?: number;
}

export interface ConnectOptions {
  /** The prefix of the service's subjects. */
  prefix?: string;
  /** The actor that is noted with every command that names no other one. */
  actor?: string;
  /** Whether a client never reads anything older than it has seen; `true` by default. */
  readsOwnWrites?: boolean;
  /** Whether the leader of a cluster alone answers queries. */
  readsFromLeader?: boolean;
  /** The text of an NKey's seed, or of a creds file. */
  credentials?: string;
  /** For how long a first connection is tried. */
  timeoutMs?: number;
  /** Further options of @nats-io. */
  nats?: ConnectionOptions;
}

/**
 * The address of the service that runs on that folder, with the credentials of the user `app`.
 *
 * @throws {Error} no service runs there, or its file cannot be read.
 */
export function addressIn(folder: string): string {
  const path = join(folder, "runtime.json");
  try {
    return (JSON.parse(readFileSync(path, "utf8")) as { nats_url: string }).nats_url;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    const start = `start \`hyperpage serve --data ${folder}\`, or name the address of one`;
    throw new Error(`no service runs on ${folder}, and writes its address to ${path}: ${start}`, { cause });
  }
}

/**
 * A client, over one connection that is made again whenever it is lost. `url` may name several nats-servers of a cluster, with
 * commas between them. A character that would end a user or a password is written %XX; a name without a password is a token.
 *
 * @throws {Unreachable} no nats-server accepts the connection within `timeoutMs`.
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Client> {
  const { servers, isEncrypted, login } = serversIn(url);
  const text = options.credentials === undefined ? undefined : new TextEncoder().encode(options.credentials);
  const settings: ConnectionOptions = {
    servers,
    ...login,
    ...(isEncrypted ? { tls: {} } : {}),
    ...(text === undefined
      ? {}
      : { authenticator: options.credentials?.includes("-----BEGIN") ? credsAuthenticator(text) : nkeyAuthenticator(text) }),
    maxReconnectAttempts: -1,
    // Reconnecting is tried often, since each question has a deadline of its own.
    reconnectTimeWait: 200,
    // The time of one attempt. The library waits for all of it, even if the server has ended the connection in the handshake.
    timeout: Math.min(ATTEMPT_MS, Math.max(options.timeoutMs ?? CONNECT_MS, LEAST_ATTEMPT_MS)),
    // A broker that hangs is noticed after two unanswered pings.
    pingInterval: 10_000,
    maxPingOut: 2,
    ...options.nats,
  };
  const deadline = Date.now() + (options.timeoutMs ?? CONNECT_MS);
  for (let refused = 0; ; ) {
    try {
      return new Client(await connectToNats(settings), options);
    } catch (error) {
      const { name } = error as Error;
      // While users are made or changed, a nats-server knows no user for a moment.
      if (name === "AuthorizationError") refused++;
      const isFinal = refused > 1 || name === "InvalidArgumentError";
      if (isFinal || Date.now() >= deadline) throw new Unreachable(String(error), false, undefined, { cause: error });
      await sleep(200);
    }
  }
}

/** A place in the log. */
export interface LogPlace {
  timeline: number;
  position: number;
}

/** A client of the service. Its commands and queries may throw `Refusal` and `Unreachable`. */
export class Client {
  readonly prefix: string;
  private seen: LogPlace | undefined;
  private readonly questions: Questions;
  private readonly underWay = new Set<Promise<unknown>>();

  constructor(
    readonly nats: NatsConnection,
    private readonly options: ConnectOptions = {},
  ) {
    this.prefix = options.prefix ?? "hyperpage";
    this.questions = new Questions(nats);
  }

  /** The answer to a command. If none comes, or the service is busy or away, the command is sent again under its id. */
  async send<Name extends CommandName>(
    command: Name,
    body: CommandBody<Name>,
    about: About = {},
  ): Promise<Answer<CommandResult<Name>>> {
    const commandId = about.commandId ?? randomUUID();
    const subject = `${this.prefix}.cmd.v1.${command}`;
    const answer = await this.asked(subject, body, this.said(commandId, about), about.timeoutMs ?? ANSWER_MS, commandId);
    return this.noted(answer as Answer<CommandResult<Name>>);
  }

  /**
   * The outcome of each command, in order. The commands are sent in as few messages as possible, of up to 1,000 commands and
   * 960 KiB, each within `timeoutMs`. With `atomic`, all are accepted or none, and they have to fit in one message. Only commands
   * that were given an id can be sent again safely.
   */
  async sendBatch(
    commands: readonly BatchCommand[],
    { atomic = false, timeoutMs = ANSWER_MS, ...about }: Omit<About, "commandId" | "expectedVersion"> & { atomic?: boolean } = {},
  ): Promise<Outcome[]> {
    return outcomesOf(commands, atomic, async (some) => {
      const answer = await this.asked(`${this.prefix}.cmd.v1.batch`, { atomic, commands: some }, this.said(undefined, about), timeoutMs);
      return (answer as { outcomes: unknown[] }).outcomes.map((one) => refusalIn(one) ?? this.noted(one as Answer));
    });
  }

  /** As `send`, through a stream: once the broker has the command, it will be carried out. Returns its id. */
  async store<Name extends CommandName>(command: Name, body: CommandBody<Name>, about: About = {}): Promise<string> {
    const commandId = about.commandId ?? randomUUID();
    await store(this, command, body, this.said(commandId, about), commandId, about.timeoutMs ?? DURABLE_ANSWER_MS);
    return commandId;
  }

  /**
   * As `store`, and waits for the answer. `Unreachable` says whether the command may be stored, and has its id, under which
   * `durableAnswer` gives the answer later.
   */
  async sendDurable<Name extends CommandName>(
    command: Name,
    body: CommandBody<Name>,
    about: About = {},
  ): Promise<Answer<CommandResult<Name>>> {
    const commandId = about.commandId ?? randomUUID();
    const isNew = about.commandId === undefined;
    const timeoutMs = about.timeoutMs ?? DURABLE_ANSWER_MS;
    const answer = await sendDurable(this, command, body, this.said(commandId, about), commandId, isNew, timeoutMs);
    return this.outcome(answer) as Answer<CommandResult<Name>>;
  }

  /** The answer to a durable command that any client has stored; it is kept for a day. */
  async durableAnswer(commandId: string, timeoutMs = DURABLE_ANSWER_MS): Promise<Answer> {
    return this.outcome(await keptAnswer(this, commandId, timeoutMs));
  }

  /** The answer to a query. */
  async query<Name extends QueryName>(name: Name, body: QueryBody<Name>, timeoutMs = ANSWER_MS): Promise<QueryAnswer<Name>> {
    return this.queryAt(this.options.readsOwnWrites === false ? undefined : this.seen, name, body, timeoutMs);
  }

  /** @internal As `query`, answered by a store that has come as far as `least`, if there is such a store. */
  async queryAt<Name extends QueryName>(
    least: LogPlace | undefined,
    name: Name,
    body: QueryBody<Name>,
    timeoutMs = ANSWER_MS,
  ): Promise<QueryAnswer<Name>> {
    const subject = `${this.prefix}.qry.v1.${name}`;
    const reads: Record<string, string> = this.options.readsFromLeader ? { "Hyperpage-Read": "leader" } : {};
    const floor = least ? { "Hyperpage-Min-Position": `${least.timeline}-${least.position}` } : {};
    let answered;
    try {
      answered = await this.during(this.questions.ask(subject, body, { ...reads, ...floor }, timeoutMs));
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== "behind" || error.details["leads"] !== true || !least) throw error;
      // The store that answers leads, so no store has the place that was seen: it is in another log.
      this.seen = undefined;
      answered = await this.during(this.questions.ask(subject, body, reads, timeoutMs));
    }
    const [position, timeline] = [answered.headers?.get("Hyperpage-Position"), answered.headers?.get("Hyperpage-Timeline")];
    if (position && timeline) this.note(Number(timeline), Number(position));
    return answered.body as QueryAnswer<Name>;
  }

  /** Every item of a query that is answered in pages, such as `jobs.list`; asked for page by page. */
  async *list<Name extends PagedQuery>(name: Name, body: QueryBody<Name>): AsyncGenerator<ItemOf<Name>> {
    for (let asked: QueryBody<Name> = body; ; ) {
      const page = (await this.query(name, asked)) as { items: ItemOf<Name>[]; next: unknown };
      yield* page.items;
      if (page.next === null) return;
      asked = { ...asked, after: page.next };
    }
  }

  /**
   * The row of a job once it has ended.
   *
   * @throws {NotInTime} the job has not ended in that time.
   */
  async waitFor(jobId: string, timeoutMs = Number.POSITIVE_INFINITY): Promise<JobRow> {
    const deadline = Date.now() + timeoutMs;
    let wake = () => {};
    const subject = `${this.prefix}.evt.v1.jobs.${token(jobId)}.*`;
    const events = this.listen(subject, (error, message) => {
      if (error !== null) return;
      const { timeline, sequence } = message.json<ChangeEvent>();
      this.note(timeline, Number(sequence));
      wake();
    });
    const look = async () => {
      const left = Math.min(ANSWER_MS, deadline - Date.now());
      try {
        return await this.query("jobs.get", { id: jobId }, Math.max(left, LAST_LOOK_MS));
      } catch (error) {
        // The service is away or busy for a while: the next look asks again.
        const isPassing = error instanceof Unreachable || (error instanceof Refusal && mayEndOtherwise(error));
        if (!isPassing || this.nats.isClosed()) throw error;
        return undefined;
      }
    };
    try {
      for (;;) {
        const heard = new Promise<void>((resolve) => (wake = resolve));
        const row = await look();
        if (row !== undefined && JOB_ENDS.includes(row.state)) return row;
        const left = Math.min(5_000, deadline - Date.now());
        if (left <= 0) throw new NotInTime(`job ${jobId} has not ended within ${timeoutMs} ms`);
        const over = new AbortController();
        await Promise.race([heard, sleep(left, undefined, { signal: over.signal }).catch(() => {})]);
        over.abort();
      }
    } finally {
      events.unsubscribe();
    }
  }

  /** @internal Has `callback` called with every message on a subject. */
  listen(subject: string, callback: (error: Error | null, message: Msg) => void): Subscription {
    if (this.nats.isClosed()) throw new Unreachable("the connection is closed", false);
    return this.nats.subscribe(subject, { callback });
  }

  /** Every event behind a place, or those of one table, once and in order, for as long as the result is iterated. */
  follow<Table extends TableName = TableName>(options: FollowOptions<Table> = {}): AsyncGenerator<EventOf<Table>> {
    return follow(this, options) as AsyncGenerator<EventOf<Table>>;
  }

  /** Ends the connection, once open questions are answered, or 5 s later; to drain it may take 5 s more. */
  async close(): Promise<void> {
    await within(CLOSE_MS, Promise.allSettled([...this.underWay]));
    try {
      if (!this.nats.isClosed()) await within(CLOSE_MS, this.nats.drain());
    } catch {
      // Without a connection, there is nothing to drain.
    } finally {
      await this.nats.close();
    }
  }

  /** @internal The beginning of reply subjects. */
  get inboxPrefix(): string | undefined {
    return this.options.nats?.inboxPrefix;
  }

  /** @internal The name of a stream: `HYPERPAGE_EVENTS`. */
  streamName(kind: "EVENTS" | "RESULTS"): string {
    return `${this.prefix.replace(/[^A-Za-z0-9_-]/g, "_").toUpperCase()}_${kind}`;
  }

  private async during<Result>(work: Promise<Result>): Promise<Result> {
    this.underWay.add(work);
    try {
      return await work;
    } finally {
      this.underWay.delete(work);
    }
  }

  /** @internal The body of the answer to a request. */
  async asked(subject: string, body: unknown, about: Record<string, string>, timeoutMs: number, commandId?: string) {
    try {
      return (await this.during(this.questions.ask(subject, body, about, timeoutMs))).body;
    } catch (error) {
      if (error instanceof Unreachable && commandId !== undefined)
        throw new Unreachable(error.message, error.mayHaveBeenCarriedOut, commandId, { cause: error.cause });
      throw error;
    }
  }

  private said(commandId: string | undefined, about: About): Record<string, string> {
    const headers: Record<string, string | undefined> = {
      "Hyperpage-Command-Id": commandId,
      "Hyperpage-Expected-Version": about.expectedVersion?.toString(),
      "Hyperpage-Actor": about.actor ?? this.options.actor,
      "Hyperpage-Correlation-Id": about.correlationId,
      "Hyperpage-Causation-Id": about.causationId,
      traceparent: about.traceparent,
    };
    return Object.fromEntries(Object.entries(headers).filter((one): one is [string, string] => one[1] !== undefined));
  }

  private outcome(outcome: unknown): Answer {
    const refused = refusalIn(outcome);
    if (refused !== undefined) throw refused;
    return this.noted(outcome as Answer);
  }

  private noted<One extends Answer>(answer: One): One {
    if (answer.position !== null) this.note(answer.timeline, answer.position);
    return answer;
  }

  /** @internal Takes in a place that the log has reached. */
  note(timeline: number, position: number): void {
    const { seen } = this;
    if (!seen || timeline > seen.timeline || (timeline === seen.timeline && position > seen.position))
      this.seen = { timeline, position };
  }
}

/** The queries that are answered in pages. */
export type PagedQuery = {
  [Name in QueryName]: QueryAnswer<Name> extends { items: unknown[]; next: unknown }
    ? "after" extends keyof QueryBody<Name>
      ? Name
      : never
    : never;
}[QueryName];
/** An item of such a query's answer. */
export type ItemOf<Name extends PagedQuery> = QueryAnswer<Name> extends { items: (infer Item)[] } ? Item : never;

/** @internal Returns when the work is done, or when that time is over. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([work, sleep(ms, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
}

/** @internal A key as one token of a subject: every byte outside `[A-Za-z0-9_-]` is written `=XX`. */
export function token(key: string): string {
  return [...Buffer.from(key, "utf8")]
    .map((byte) => (/[A-Za-z0-9_-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`))
    .join("");
}
