/** Events, each once and in order, whatever happens to the broker. */
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client, LogPlace } from "./client.js";
import { mayEndOtherwise, PlaceLost, Refusal } from "./errors.js";
import type { LogPage } from "./types.js";

/** An event of the log, as CloudEvents 1.0 have it. `id` is enough to go on behind it later. */
export interface ChangeEvent<Data = unknown> {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly sequence: string;
  readonly version: number;
  readonly timeline: number;
  readonly hash: string;
  readonly data: Data;
  readonly commandid?: string;
  readonly actor?: string;
  readonly correlationid?: string;
  readonly causationid?: string;
  readonly traceparent?: string;
  readonly principal?: string;
}

export interface FollowOptions {
  /** The id of the event that was handled last; without one, the log from its beginning. */
  after?: string;
  /** Ends it. */
  signal?: AbortSignal;
}

const PAGE = 1_000;
const FETCH_MS = 5_000;
const FORKED = "hyperpage.timeline.forked.v1";

/**
 * Every event behind a place. Any doubt about the stream is settled by reading the log; where a restore has begun a newer
 * timeline, the first event of that is `hyperpage.timeline.forked.v1`.
 *
 * @throws {PlaceLost} the place is not in the log.
 */
export async function* follow(client: Client, { after, signal }: FollowOptions): AsyncGenerator<ChangeEvent> {
  let place = placeOf(after);
  const store: { id?: string } = {};
  if (after !== undefined) client.note(place.timeline, place.position);
  for (let trouble = 0; !signal?.aborted; ) {
    try {
      for await (const event of stretch(client, place, store, signal)) {
        place = { timeline: event.timeline, position: Number(event.sequence) };
        // What is read from here on is not older.
        client.note(place.timeline, place.position);
        trouble = 0;
        yield event;
      }
    } catch (error) {
      if (error instanceof PlaceLost || client.nats.isClosed()) throw error;
      if (error instanceof Refusal && !mayEndOtherwise(error)) throw error;
      await sleep(Math.min(100 * 2 ** trouble++, 2_000));
    }
  }
}

/** The log behind a place, and then the stream, until there is a gap, a newer timeline, or silence. */
async function* stretch(client: Client, place: LogPlace, store: { id?: string }, signal?: AbortSignal): AsyncGenerator<ChangeEvent> {
  const stream = client.streamName("EVENTS");
  const [js, manager] = [jetstream(client.nats), await jetstreamManager(client.nats)];
  // The consumer first, so that nothing falls between log and stream.
  const { state } = await manager.streams.info(stream);
  const { name } = await manager.consumers.add(stream, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: state.last_seq + 1,
    ack_policy: AckPolicy.None,
    inactive_threshold: 60_000_000_000,
    mem_storage: true,
    num_replicas: 1,
  });
  try {
    let { timeline, position } = { ...place, position: await goOnBehind(client, place, store) };
    let next: number | null = position;
    while (next !== null && !signal?.aborted) {
      const page: LogPage = await client.queryAt({ timeline, position }, "events.read", { after: next, limit: PAGE });
      // A restore to an earlier moment, between two pages.
      if (page.head < position) return;
      for (const event of page.items as unknown as ChangeEvent[]) {
        const at = Number(event.sequence);
        const isFork = event.type === FORKED && at === position + 1;
        if (event.timeline !== timeline && !isFork) return;
        [timeline, position] = [event.timeline, at];
        yield event;
      }
      next = page.next;
    }
    const consumer = await js.consumers.get(stream, name);
    while (!signal?.aborted) {
      let came = false;
      const messages = await consumer.fetch({ max_messages: 500, expires: FETCH_MS });
      const stop = () => messages.stop();
      signal?.addEventListener("abort", stop, { once: true });
      if (signal?.aborted) stop();
      try {
        for await (const message of messages) {
          const event = message.json<ChangeEvent>();
          const at = Number(event.sequence);
          if (event.timeline < timeline || (event.timeline === timeline && at <= position)) continue;
          if (event.timeline !== timeline || at !== position + 1) return;
          position = at;
          came = true;
          yield event;
        }
      } finally {
        signal?.removeEventListener("abort", stop);
      }
      // Either nothing happens, or the relay does not publish: the log tells.
      if (!came) return;
    }
  } finally {
    await manager.consumers.delete(stream, name).catch(() => {});
  }
}

/** Behind which position to go on: `position`, or less where a restore has begun a newer timeline. */
async function goOnBehind(client: Client, { timeline, position }: LogPlace, store: { id?: string }): Promise<number> {
  const least = position > 0 ? { timeline, position } : undefined;
  const page = await client.queryAt(least, "events.read", { after: Number.MAX_SAFE_INTEGER, limit: 1 });
  const { timelines, head } = page;
  if (head > 0 && store.id !== undefined && store.id !== page.store_id)
    throw new PlaceLost(`the log is that of store ${page.store_id}, not of ${store.id}`);
  if (head > 0) store.id = page.store_id;
  const known = Math.max(1, ...timelines.map(([number]) => number));
  if (timeline > known || (timeline === known && position > head))
    throw new PlaceLost(`event ${timeline}-${position} was seen, and is ahead of the log`);
  const forks = timelines.filter(([number]) => number > timeline).map(([, first]) => first - 1);
  return Math.min(position, ...forks);
}

function placeOf(id: string | undefined): LogPlace {
  if (id === undefined) return { timeline: 1, position: 0 };
  const match = /^([1-9][0-9]{0,17})-([1-9][0-9]{0,17})$/.exec(id);
  if (match === null) throw new RangeError(`${id} is not the id of an event, such as 1-42`);
  return { timeline: Number(match[1]), position: Number(match[2]) };
}
