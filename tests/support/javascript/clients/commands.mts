/** What the TypeScript client can do, a line for each thing that a test looks at. */
import { strictEqual } from "node:assert";
import { addressIn, connect, Refusal, Unreachable } from "hyperpage-client";
import { outcomesOf } from "./node_modules/hyperpage-client/dist/batches.js";

const say = (said: unknown) => console.log(JSON.stringify(said));
const client = await connect(addressIn("data"), { actor: "typescript" });

const first = await client.send("jobs.enqueue", { type: "fetch", id: "one", payload: { url: "a" } }, { commandId: "c-1" });
const again = await client.send("jobs.enqueue", { type: "fetch", id: "one", payload: { url: "a" } }, { commandId: "c-1" });
strictEqual(JSON.stringify(first), JSON.stringify(again));
say([first.stream, first.events, first.result?.existing ?? null]);

try {
  await client.send("app_state.set", { key: "theme", value: 1 }, { expectedVersion: 7 });
} catch (error) {
  say(error instanceof Refusal && [error.code, error.hint.length > 10]);
}

const outcomes = await client.sendBatch([
  { command: "app_state.set", body: { key: "k-1", value: 1 } },
  { command: "app_state.set", body: { key: "k-2", value: 2 } },
  { command: "jobs.cancel", body: { id: "nobody" } },
]);
say(outcomes.map((one) => (one instanceof Refusal ? one.code : one.stream)));

// More than one message takes, by count, and by size; one is too large for any, and one is refused.
const many = Array.from({ length: 1_400 }, (_, number) => ({ command: "app_state.set", body: { key: `m-${number}`, value: number } }) as const);
const large = many.slice(0, 20).map(({ body }) => ({ command: "app_state.set", body: { key: `large-${body.key}`, value: "é".repeat(30_000) } }) as const);
const huge = { command: "app_state.set", body: { key: "huge", value: "x".repeat(2_000_000) } } as const;
const told = await client.sendBatch([...many, ...large, huge, { command: "jobs.cancel", body: { id: "nobody" } }]);
const refusals = told.filter((one) => one instanceof Refusal);
say([told.length, told[1_399] instanceof Refusal || told[1_399]?.stream, ...refusals.map((one) => [one.code, one.details["index"]])]);
for (const commands of [many, large]) {
  try {
    await client.sendBatch(commands, { atomic: true });
  } catch (error) {
    say(error instanceof Refusal && [error.code, error.details["limit"], error.details["size"], error.message.includes("atomic")]);
  }
}
say(await client.sendBatch([]));

// What became of the first message is told, whatever becomes of the second.
const secondEndsIn = (error: Error) => {
  let sent = 0;
  return outcomesOf(many, false, async (some) => {
    if (sent++ > 0) throw error;
    return some.map(() => first);
  });
};
const busy = new Refusal("busy", "", "", {});
const partly = await secondEndsIn(busy);
say([partly.indexOf(busy), partly.lastIndexOf(busy)]);
try {
  await secondEndsIn(new Unreachable("nothing was sent", false));
} catch (error) {
  say(error instanceof Unreachable && error.mayHaveBeenCarriedOut);
}

const keys: string[] = [];
for await (const row of client.list("app_state.list", { prefix: "k-", limit: 1 })) keys.push(row.key);
say(keys);

const claimed = await client.send("jobs.claim", { worker: "w", types: ["fetch"] });
const [job] = claimed.result.jobs;
say([job?.id, job?.state, job?.payload]);
const ended = client.waitFor("one", 30_000);
if (job) await client.send("jobs.complete", { id: job.id, lease: job.lease, result: { pages: 3 } });
const row = await ended;
say([row.state satisfies string, row.result, row.tags.length]);

const stored = await client.store("app_state.delete", { key: "k-1" }, { commandId: "späte/antwort" });
say([stored, (await client.durableAnswer(stored)).events]);

// One that waits, and the same again: once carried out, it is answered in the same way.
const waited = await client.sendDurable("jobs.enqueue", { type: "mail", id: "two" }, { commandId: "c-3" });
const repeated = await client.sendDurable("jobs.enqueue", { type: "mail", id: "two" }, { commandId: "c-3" });
strictEqual(JSON.stringify(waited), JSON.stringify(repeated));
say([waited.stream, waited.result?.existing ?? null]);
try {
  await client.sendDurable("jobs.cancel", { id: "nobody" });
} catch (error) {
  say(error instanceof Refusal && error.code);
}

try {
  await client.query("jobs.get", { id: "never" });
} catch (error) {
  say(error instanceof Refusal && error.code);
}
try {
  await client.send("app_state.set", { key: "large", value: "x".repeat(2_000_000) });
} catch (error) {
  say(error instanceof Refusal && error.code);
}
try {
  addressIn("nowhere");
} catch (error) {
  say((error as Error).message.includes("start `hyperpage serve --data nowhere`"));
}
await client.close();
try {
  await client.send("app_state.set", { key: "late", value: 1 }, { commandId: "c-2" });
} catch (error) {
  say(error instanceof Unreachable && error.commandId);
}
try {
  await connect("nats://127.0.0.1:1,127.0.0.1:2", { timeoutMs: 300 });
} catch (error) {
  say(error instanceof Unreachable && !error.mayHaveBeenCarriedOut);
}
