/** Durable commands, from the sender's side: stored by a stream, answered by a message that is kept. */
import { createInbox, type Msg } from "@nats-io/transport-node";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, token } from "./client.js";
import { Refusal, Unreachable } from "./errors.js";

const FIRST_LOOK_MS = 50;
const LOOK_MS = 1_000;
const KEPT_WITHIN_MS = 500;
// JetStream's own number of the error that a stream has no such message.
const NO_MESSAGE = 10037;

interface Looked {
  readonly message?: { seq: number; data: string };
  readonly error?: { err_code?: number; description?: string };
}

interface Kept {
  readonly sequence: number;
  readonly outcome: unknown;
}

/** @internal Returns when the broker has stored the command. Stored twice, it is carried out once, by its id. */
export async function store(
  client: Client,
  command: string,
  body: unknown,
  said: Record<string, string>,
  commandId: string,
  timeoutMs: number,
): Promise<void> {
  const subject = `${client.prefix}.dcmd.v1.${command}`;
  const stored = (await client.asked(subject, body, said, timeoutMs, commandId)) as { error?: { description?: string } };
  if (stored.error !== undefined)
    throw new Refusal("unavailable", `the broker did not store the command: ${stored.error.description}`, "", {});
}

/** @internal Stores a command, and waits for its outcome, which comes to an inbox and is also kept by the broker. */
export async function sendDurable(
  client: Client,
  command: string,
  body: unknown,
  said: Record<string, string>,
  commandId: string,
  isNew: boolean,
  timeoutMs: number,
): Promise<unknown> {
  const deadline = Date.now() + timeoutMs;
  // An answer that is kept already is that of an earlier attempt; this one may end differently. If the broker does not say now
  // what is kept, only an answer that comes to the inbox is known to be new.
  const earlier = isNew ? 0 : await kept(client, commandId).then((one) => one?.sequence ?? 0, () => undefined);
  let answered = (_: unknown) => {};
  const answer = new Promise<{ outcome: unknown }>((resolve) => (answered = (outcome) => resolve({ outcome })));
  const inbox = createInbox(client.inboxPrefix);
  const take = (error: Error | null, message: Msg) => {
    if (error === null) answered(message.json());
  };
  const answers = client.listen(inbox, take);
  try {
    const headers = { ...said, "Hyperpage-Reply-To": inbox };
    await store(client, command, body, headers, commandId, Math.max(0, deadline - Date.now()));
    for (;;) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Unreachable(`the command is stored; there was no answer within ${timeoutMs} ms`, true, commandId);
      const over = new AbortController();
      const silence = sleep(Math.min(LOOK_MS, left), undefined, { signal: over.signal }).catch(() => undefined);
      const came = await Promise.race([answer, silence]);
      over.abort();
      if (came !== undefined) return came.outcome;
      // The answer may have come while the connection was lost.
      const found = earlier === undefined ? undefined : await kept(client, commandId).catch(() => undefined);
      if (found !== undefined && found.sequence > (earlier ?? 0)) return found.outcome;
    }
  } finally {
    answers.unsubscribe();
  }
}

/** @internal The answer to a command that was stored before, as soon as there is one. */
export async function keptAnswer(client: Client, commandId: string, timeoutMs: number): Promise<unknown> {
  const deadline = Date.now() + timeoutMs;
  for (let pause = FIRST_LOOK_MS; ; pause = Math.min(2 * pause, LOOK_MS)) {
    const found = await kept(client, commandId).catch((error: unknown) => {
      if (!(error instanceof Unreachable) || client.nats.isClosed()) throw error;
      return undefined;
    });
    if (found !== undefined) return found.outcome;
    if (Date.now() >= deadline)
      throw new Unreachable(`there was no answer to ${commandId} within ${timeoutMs} ms`, true, commandId);
    await sleep(Math.min(pause, Math.max(0, deadline - Date.now())));
  }
}

/** The answer that is kept under an id now, if there is one; throws where the broker does not say. */
async function kept(client: Client, commandId: string): Promise<Kept | undefined> {
  const asked = { last_by_subj: `${client.prefix}.res.v1.${token(commandId)}` };
  const subject = `$JS.API.STREAM.MSG.GET.${client.streamName("RESULTS")}`;
  const { message, error } = (await client.asked(subject, asked, {}, KEPT_WITHIN_MS)) as Looked;
  // Any other error, such as that of a stream without a leader, does not say that none is kept.
  if (error?.err_code === NO_MESSAGE) return undefined;
  if (message === undefined) throw new Unreachable(`the broker does not say what is kept: ${error?.description}`, false, commandId);
  return { sequence: message.seq, outcome: JSON.parse(Buffer.from(message.data, "base64").toString("utf8")) as unknown };
}
