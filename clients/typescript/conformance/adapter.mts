/** The adapter of the TypeScript client, for `hyperpage_client.testing.client_conformance`: see docs/your-language.md. */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  type About,
  type BatchCommand,
  type ChangeEvent,
  type Client,
  type CommandName,
  connect,
  JobFailed,
  JobSnoozed,
  type JobContext,
  PlaceLost,
  type QueryName,
  Refusal,
  Unreachable,
  Worker,
} from "hyperpage-client";

// Not `follow_part`: the client follows one table, but no stream. Not `int64`: numbers of JavaScript are doubles.
const PARTS = ["reads_own_writes", "list", "batch", "durable", "follow", "work", "mirror", "credentials"];

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Line = Record<string, any> & { id: number; do: string };
interface Payload {
  then: string;
  value?: unknown;
  error?: string;
  retryable?: boolean;
  until?: number;
  ms?: number;
}

/** A client, and the functions that end the followers and workers that were begun on it. */
interface Connection {
  client: Client;
  begun: Map<number, () => Promise<void>>;
}

const connections = new Map<number, Connection>();

const say = (line: Line, said: object) => process.stdout.write(`${JSON.stringify({ id: line.id, ...said })}\n`);

function errorOf(error: unknown): object {
  if (error instanceof Refusal) {
    const { code, message, hint, details } = error;
    return { code, message, hint, details };
  }
  if (error instanceof Unreachable)
    return { code: "unreachable", message: error.message, may_have_been_carried_out: error.mayHaveBeenCarriedOut, command_id: error.commandId ?? null };
  if (error instanceof PlaceLost) return { code: "place_lost" };
  return { code: "adapter", message: String(error) };
}

/** The fields that are sent with a command, beside its body; fields that the line does not have are left out. */
function about(line: Line): About {
  const names = {
    command_id: "commandId",
    expected_version: "expectedVersion",
    actor: "actor",
    correlation_id: "correlationId",
    causation_id: "causationId",
    traceparent: "traceparent",
    timeout_ms: "timeoutMs",
  };
  return Object.fromEntries(Object.entries(names).flatMap(([name, field]) => (name in line ? [[field, line[name]]] : [])));
}

async function open(line: Line): Promise<object> {
  const credentials = line["credentials"] === undefined ? {} : { credentials: readFileSync(line["credentials"], "utf8") };
  const time = line["timeout_ms"] === undefined ? {} : { timeoutMs: line["timeout_ms"] };
  connections.set(line.id, { client: await connect(line["url"], { ...credentials, ...time }), begun: new Map() });
  return {};
}

async function close(line: Line, { client, begun }: Connection): Promise<object> {
  connections.delete(line["on"]);
  await Promise.all([...begun.values()].map((stop) => stop()));
  await client.close();
  return {};
}

async function list(line: Line, client: Client): Promise<object> {
  const items: unknown[] = [];
  for await (const item of client.list(line["query"], line["body"])) items.push(item);
  return { items };
}

async function batch(line: Line, client: Client): Promise<object> {
  const outcomes = await client.sendBatch(line["commands"] as BatchCommand[], { ...about(line), atomic: line["atomic"] });
  return { outcomes: outcomes.map((one) => (one instanceof Refusal ? { error: errorOf(one) } : { ok: one })) };
}

/** The row in a KV bucket, which any client of NATS can read. */
async function mirror(line: Line, client: Client): Promise<object> {
  const bucket = `${client.prefix}_${line["table"]}`;
  const token = String(line["key"]).replace(/[^A-Za-z0-9_-]/g, (one) => `=${one.charCodeAt(0).toString(16).toUpperCase()}`);
  const found = await client.nats.request(`$JS.API.DIRECT.GET.KV_${bucket}.$KV.${bucket}.${token}`);
  const isGone = ["Status", "KV-Operation", "Nats-Marker-Reason"].some((name) => found.headers?.has(name)) || found.headers?.code === 404;
  return { row: isGone ? null : found.json() };
}

function follow(line: Line, { client, begun }: Connection): object {
  const over = new AbortController();
  const events = client.follow({ signal: over.signal, ...("after" in line ? { after: line["after"] as string } : {}) });
  const followed = (async () => {
    try {
      for await (const event of events) if (!over.signal.aborted) say(line, { event: event satisfies ChangeEvent });
    } catch (error) {
      if (!over.signal.aborted) say(line, { error: errorOf(error) });
    }
  })();
  begun.set(line.id, () => (over.abort(), followed));
  return {};
}

/** A handler that does what its job's payload says. */
async function handle(line: Line, { job, payload, signal }: JobContext<Payload>): Promise<unknown> {
  say(line, { began: { job: job.id, attempt: job.attempt } });
  switch (payload.then) {
    case "raise":
      throw new Error(payload.error);
    case "fail":
      throw new JobFailed(payload.error ?? "", { retryable: payload.retryable ?? true });
    case "snooze":
      if (Date.now() < (payload.until ?? 0)) throw new JobSnoozed(payload.until ?? 0);
      return null;
    case "wait":
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
        if (payload.ms !== undefined) setTimeout(resolve, payload.ms);
      });
      if (signal.aborted) say(line, { stopped: { job: job.id, reason: signal.reason } });
      signal.throwIfAborted();
  }
  return payload.value;
}

function work(line: Line, { client, begun }: Connection): object {
  const handler = (context: JobContext<Payload>) => handle(line, context);
  const handlers = Object.fromEntries((line["types"] as string[]).map((type) => [type, handler]));
  const options = { queue: line["queue"], concurrency: line["concurrency"], leaseMs: line["lease_ms"], graceMs: 0 };
  const worker = new Worker(client, handlers, options);
  const done = worker.run();
  begun.set(line.id, () => (worker.stop(), done));
  return {};
}

async function stop(line: Line, { begun }: Connection): Promise<object> {
  const end = begun.get(line["begun"]);
  begun.delete(line["begun"]);
  await end?.();
  return {};
}

async function done(line: Line): Promise<unknown> {
  if (line.do === "hello") return { client: "hyperpage-client, in TypeScript", parts: PARTS };
  if (line.do === "connect") return open(line);
  const connection = connections.get(line["on"]);
  if (connection === undefined) throw new Error(`there is no connection ${line["on"]}`);
  const { client } = connection;
  switch (line.do) {
    case "close":
      return close(line, connection);
    case "command":
      return client.send(line["command"] as CommandName, line["body"], about(line));
    case "query":
      return client.query(line["query"] as QueryName, line["body"], line["timeout_ms"]);
    case "list":
      return list(line, client);
    case "batch":
      return batch(line, client);
    case "store":
      return { command_id: await client.store(line["command"] as CommandName, line["body"], about(line)) };
    case "stored_answer":
      return client.durableAnswer(line["command_id"], line["timeout_ms"]);
    case "mirror":
      return mirror(line, client);
    case "follow":
      return follow(line, connection);
    case "work":
      return work(line, connection);
    case "stop":
      return stop(line, connection);
  }
  throw new Error(`${line.do} is not known`);
}

for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text) as Line;
  done(line).then(
    (ok) => say(line, { ok }),
    (error: unknown) => say(line, { error: errorOf(error) }),
  );
}
process.exit(0);
