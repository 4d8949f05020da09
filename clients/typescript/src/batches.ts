/** Commands that go out together, in one message or a few. */
import { randomUUID } from "node:crypto";
import type { Answer } from "./client.js";
import { Refusal, Unreachable } from "./errors.js";
import type { CommandBody, CommandName } from "./types.js";

/** One command of a batch. */
export type BatchCommand = {
  [Name in CommandName]: { command: Name; body: CommandBody<Name>; id?: string; expected_version?: number };
}[CommandName];

/** What became of a command of a batch. */
export type Outcome = Answer | Refusal;

// The most of one message, as the service takes it.
const MAXIMUM_COMMANDS = 1_000;
const MAXIMUM_BYTES = 960 * 1024;
// What a message has beside its commands, and between each two of them.
const ENVELOPE_BYTES = '{"atomic":false,"commands":[]}'.length;
const COMMA_BYTES = 1;

/**
 * @internal What became of each command, in order; `send` sends one message.
 *
 * @throws {Refusal} nothing was carried out.
 * @throws {Unreachable} it says whether some may have been carried out.
 */
export async function outcomesOf(
  commands: readonly BatchCommand[],
  atomic: boolean,
  send: (some: readonly BatchCommand[]) => Promise<Outcome[]>,
): Promise<Outcome[]> {
  const all = commands.map((one) => ({ ...one, id: one.id ?? randomUUID() }));
  const outcomes: Outcome[] = [];
  for (const some of atomic ? inOne(all) : messagesOf(all)) {
    const before = outcomes.length;
    try {
      outcomes.push(...(await send(some)).map((one) => counted(one, before)));
    } catch (error) {
      // A command that no message has room for says nothing of the others.
      const isAlone = !atomic && some.length === 1 && error instanceof Refusal && error.code === "too_large";
      if (isAlone) outcomes.push(counted(error, before));
      else if (before === 0) throw error;
      // What became of those before is told: this ends the others.
      else if (error instanceof Refusal) return [...outcomes, ...all.slice(before).map(() => error)];
      else if (error instanceof Unreachable) throw new Unreachable(error.message, true, undefined, { cause: error });
      else throw error;
    }
  }
  return outcomes;
}

/** The same commands in as few messages as the service takes; what is too large is alone in its own. */
function messagesOf<One>(all: readonly One[]): One[][] {
  const messages: One[][] = [];
  let [some, size]: [One[], number] = [[], ENVELOPE_BYTES];
  for (const one of all) {
    const more = Buffer.byteLength(JSON.stringify(one)) + COMMA_BYTES;
    if (some.length === MAXIMUM_COMMANDS || (some.length > 0 && size + more > MAXIMUM_BYTES)) {
      messages.push(some);
      [some, size] = [[], ENVELOPE_BYTES];
    }
    some.push(one);
    size += more;
  }
  return some.length > 0 ? [...messages, some] : messages;
}

/** All or none: they go out in one message, or not at all. */
function inOne<One>(all: readonly One[]): One[][] {
  const messages = messagesOf(all);
  if (messages.length < 2) return messages;
  const size_bytes = Buffer.byteLength(JSON.stringify({ atomic: true, commands: all }));
  throw new Refusal(
    "too_large",
    `an atomic batch has ${all.length} commands and ${size_bytes} bytes, and may have ${MAXIMUM_COMMANDS} and ${MAXIMUM_BYTES}`,
    "nothing was sent: have fewer commands stand or fall together, or leave out `atomic`, and they go out in several messages",
    { limit: MAXIMUM_COMMANDS, size: all.length, limit_bytes: MAXIMUM_BYTES, size_bytes },
  );
}

/** `details.index` counts all commands, and not those of one message. */
function counted(outcome: Outcome, before: number): Outcome {
  if (!(outcome instanceof Refusal)) return outcome;
  const { code, message, hint, details } = outcome;
  return new Refusal(code, message, hint, { ...details, index: before + Number(details["index"] ?? 0) });
}
