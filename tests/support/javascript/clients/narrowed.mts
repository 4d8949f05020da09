/** Follows one table: its events alone, with their types, by one consumer though nothing happens for longer than a fetch. */
import { jetstreamManager } from "@nats-io/jetstream";
import { addressIn, connect } from "hyperpage-client";

const client = await connect(addressIn("data"));
const manager = await jetstreamManager(client.nats);
const consumers = async () => {
  const names: string[] = [];
  for await (const one of manager.consumers.list("HYPERPAGE_EVENTS")) names.push(one.name);
  return names;
};

await client.send("jobs.enqueue", { type: "mail", id: "first", priority: 4 });
const before = new Set(await consumers());
let during: string[] = [];
for await (const event of client.follow({ table: "jobs" })) {
  if (event.type === "hyperpage.job.enqueued.v1") console.log(event.subject, event.data.type satisfies string, event.data.priority);
  else if (event.type === "hyperpage.timeline.forked.v1") console.log(event.data.restored_position satisfies number);
  else console.log(event.type);
  if (event.subject === "jobs/first" && event.version === 1) {
    setTimeout(async () => {
      during = (await consumers()).filter((name) => !before.has(name));
      await client.send("app_state.set", { key: "other", value: 1 });
    }, 1_000);
    // Longer than a fetch.
    setTimeout(() => void client.send("jobs.cancel", { id: "first" }), 7_000);
  } else if (event.type === "hyperpage.job.cancelled.v1") {
    const after = (await consumers()).filter((name) => !before.has(name));
    console.log(during.length, after.join() === during.join());
    break;
  }
}
console.log((await consumers()).filter((name) => !before.has(name)).length);
await client.close();
