/** Events, each once and in order, whatever happens to the broker. */
import { AckPolicy, type ConsumerMessages, DeliverPolicy, type JetStreamManager, jetstream, jetstreamManager, type JsMsg } from "@nats-io/jetstream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client, LogPlace } from "./client.js";
import { mayEndOtherwise, PlaceLost, Refusal } from "./errors.js";
import type { Events, LogPage, TableName, TimelineForkedV1 } from "./types.js";

/** An event of the log, in the form of CloudEvents 1.0. Its `id` is enough to go on behind it later. */
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

/** An event of a certain type. */
export interface TypedEvent<Type extends string, Data> extends ChangeEvent<Data> {
  readonly type: Type;
}

/** Any event of these tables, or the event of a restore to an earlier moment; `type` says which, and so what `data` is. */
export type EventOf<Table extends TableName = TableName> =
  | { [Of in Table]: { [Type in keyof Events[Of] & string]: TypedEvent<Type, Events[Of][Type]> }[keyof Events[Of] & string] }[Table]
  | TypedEvent<typeof FORKED, TimelineForkedV1>;

export interface FollowOptions<Table extends TableName = TableName> {
  /** The id of the event that was handled last; without one, the log is followed from its beginning. */
  after?: string;
  /** Follows the events of this table alone, and forks. */
  table?: Table;
  /** Ends the iteration when it is aborted. */
  signal?: AbortSignal;
}

const PAGE = 1_000;
const FETCH_MESSAGES = 500;
const FETCH_MS = 5_000;
const FORKED = "hyperpage.timeline.forked.v1";
/** A position beyond every other. */
const END = Number.MAX_SAFE_INTEGER;

/**
 * Every event behind a place. Any doubt about the stream is settled by reading the log. If a restore has begun a newer timeline,
 * its first event is `hyperpage.timeline.forked.v1`.
 *
 * @throws {PlaceLost} the place is not in the log.
 */
export async function* follow(client: Client, { after, table, signal }: FollowOptions): AsyncGenerator<ChangeEvent> {
  let place = placeOf(after);
  const store: { id?: string } = {};
  if (after !== undefined) client.note(place.timeline, place.position);
  for (let trouble = 0; !signal?.aborted; ) {
    try {
      for await (const event of new Stretch(client, place, store, table, signal).events()) {
        place = { timeline: event.timeline, position: Number(event.sequence) };
        // Later reads of this client get nothing older than this event.
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

/** The log behind a place, and then the stream, until there is a gap or a newer timeline. */
class Stretch {
  private timeline: number;
  private position: number;
  /** The sequence of the stream up to which nothing was skipped. */
  private vouched = 0;
  private delivered = 0;

  constructor(
    private readonly client: Client,
    place: LogPlace,
    private readonly store: { id?: string },
    private readonly table: string | undefined,
    private readonly signal: AbortSignal | undefined,
  ) {
    ({ timeline: this.timeline, position: this.position } = place);
  }

  async *events(): AsyncGenerator<ChangeEvent> {
    const stream = this.client.streamName("EVENTS");
    const [js, manager] = [jetstream(this.client.nats), await jetstreamManager(this.client.nats)];
    // The consumer is made before the log is read, so that no event is missed between the two.
    const { created, state } = await manager.streams.info(stream);
    this.vouched = state.last_seq;
    const { name } = await manager.consumers.add(stream, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: state.last_seq + 1,
      ack_policy: AckPolicy.None,
      inactive_threshold: 60_000_000_000,
      mem_storage: true,
      num_replicas: 1,
      ...this.filter(),
    });
    try {
      let isWhole = yield* this.log();
      const consumer = await js.consumers.get(stream, name);
      while (isWhole && !this.signal?.aborted) {
        let came = false;
        const began = Date.now();
        for await (const burst of bursts(await consumer.fetch({ max_messages: FETCH_MESSAGES, expires: FETCH_MS }), this.signal)) {
          came = true;
          const events = this.taken(burst);
          if (events === undefined) return;
          if (this.table !== undefined && !(await this.isVouchedFor(manager, stream, created, burst))) return;
          yield* events;
        }
        if (came || this.signal?.aborted) continue;
        if (Date.now() - began < FETCH_MS / 2) throw new Error("the broker has ended a fetch");
        // Either there are no new events, or the relay does not publish them: reading the log tells. If the consumer is gone, this
        // throws.
        await manager.consumers.info(stream, name);
        isWhole = yield* this.log();
      }
    } finally {
      await manager.consumers.delete(stream, name).catch(() => {});
    }
  }

  /** The consumer's filter for the table, which forks pass, too. */
  private filter(): { filter_subjects?: string[] } {
    if (this.table === undefined) return {};
    const events = `${this.client.prefix}.evt.v1`;
    return { filter_subjects: [`${events}.${this.table}.>`, `${events}.system.timeline.forked`] };
  }

  /** The log up to its end, or up to a fork; returns whether there was no fork, so that the stream goes on behind the log. */
  private async *log(): AsyncGenerator<ChangeEvent, boolean> {
    const fork = await this.nextFork();
    if (fork !== undefined) this.position = Math.min(this.position, fork - 1);
    for (let next: number | null = this.position; next !== null && !this.signal?.aborted; ) {
      const page = await this.page({ after: next, ...(this.table === undefined ? {} : { table: this.table }) });
      // The store was restored to an earlier moment between two pages.
      if (page.head < this.position) return false;
      for (const event of page.items as unknown as ChangeEvent[]) {
        const at = Number(event.sequence);
        if (fork !== undefined && at >= fork) break;
        if (event.timeline !== this.timeline) return false;
        this.position = at;
        yield event;
      }
      // The events that the filter leaves out count as read, too.
      this.position = Math.max(this.position, Math.min(page.next ?? page.head, fork === undefined ? END : fork - 1));
      next = fork !== undefined && this.position >= fork - 1 ? null : page.next;
    }
    if (fork === undefined || this.signal?.aborted) return true;
    const [event] = (await this.page({ after: fork - 1, limit: 1 })).items as unknown as ChangeEvent[];
    // If the fork is not there any more, there was another restore meanwhile.
    if (event?.type === FORKED && Number(event.sequence) === fork) yield event;
    return false;
  }

  private async page(asked: { after: number; limit?: number; table?: string }): Promise<LogPage> {
    const least = this.position > 0 ? { timeline: this.timeline, position: this.position } : undefined;
    return this.client.queryAt(least, "events.read", { limit: PAGE, ...asked });
  }

  /** The position of the event that begins the next timeline, if there is a newer one. */
  private async nextFork(): Promise<number | undefined> {
    const { timelines, head, store_id } = await this.page({ after: END, limit: 1 });
    const { timeline, position, store } = this;
    if (head > 0 && store.id !== undefined && store.id !== store_id)
      throw new PlaceLost(`the log is that of store ${store_id}, not of ${store.id}`);
    if (head > 0) store.id = store_id;
    const known = Math.max(1, ...timelines.map(([number]) => number));
    if (timeline > known || (timeline === known && position > head))
      throw new PlaceLost(`event ${timeline}-${position} was seen, and is ahead of the log`);
    const forks = timelines.filter(([number]) => number > timeline).map(([, first]) => first);
    return forks.length === 0 ? undefined : Math.min(...forks);
  }

  /** The new events in messages that came one behind the other; `undefined`: there is a gap, or a newer timeline. */
  private taken(burst: JsMsg[]): ChangeEvent[] | undefined {
    const events: ChangeEvent[] = [];
    for (const message of burst) {
      const event = message.json<ChangeEvent>();
      const at = Number(event.sequence);
      if (message.info.deliverySequence !== ++this.delivered) return undefined;
      if (event.timeline < this.timeline || (event.timeline === this.timeline && at <= this.position)) continue;
      if (event.timeline !== this.timeline || (this.table === undefined && at !== this.position + 1)) return undefined;
      this.position = at;
      events.push(event);
    }
    return events;
  }

  /**
   * Whether the broker skipped nothing but what the filter leaves out. It silently skips messages that have left the stream before
   * they were delivered, and a stream loses its oldest messages first. So nothing else was skipped if the stream still has the
   * message that follows the last one vouched for.
   */
  private async isVouchedFor(manager: JetStreamManager, stream: string, created: string, burst: JsMsg[]): Promise<boolean> {
    const report = await manager.streams.info(stream);
    if (report.created !== created || report.state.first_seq > this.vouched + 1 || report.state.num_deleted) return false;
    this.vouched = burst.at(-1)?.seq ?? this.vouched;
    return true;
  }
}

/** The messages of one fetch, in lists of all that are there at a time. */
async function* bursts(messages: ConsumerMessages, signal: AbortSignal | undefined): AsyncGenerator<JsMsg[]> {
  const waiting: JsMsg[] = [];
  let wake = () => {};
  let isOver = false;
  const stop = () => messages.stop();
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  const pump = (async () => {
    try {
      for await (const message of messages) {
        waiting.push(message);
        wake();
      }
    } finally {
      isOver = true;
      wake();
    }
  })();
  // Its error is thrown below, by `await pump`.
  pump.catch(() => {});
  try {
    for (;;) {
      if (waiting.length > 0) yield waiting.splice(0);
      else if (isOver) break;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    await pump;
  } finally {
    signal?.removeEventListener("abort", stop);
    messages.stop();
  }
}

function placeOf(id: string | undefined): LogPlace {
  if (id === undefined) return { timeline: 1, position: 0 };
  const match = /^([1-9][0-9]{0,17})-([1-9][0-9]{0,17})$/.exec(id);
  if (match === null) throw new RangeError(`${id} is not the id of an event, such as 1-42`);
  return { timeline: Number(match[1]), position: Number(match[2]) };
}
