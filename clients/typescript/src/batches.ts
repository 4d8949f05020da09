/** Commands that are sent together, in one message or a few. */
import { randomUUID } from "node:crypto";
import type { Answer } from "./client.js";
import { Refusal, Unreachable } from "./errors.js";
import type { CommandBody, CommandName } from "./types.js";

/** One command of a batch. */
export type BatchCommand = {
  [Name in CommandName]: { command: Name; body: CommandBody<Name>; id?: string; expected_version?: number };
}[CommandName];

/** The outcome of a command of a batch. */
export type Outcome = Answer | Refusal;

// The limits of one message, as the service has them.
const MAXIMUM_COMMANDS = 1_000;
const MAXIMUM_BYTES = 960 * 1024;
// The size of a message without its commands, and of what stands between two commands.
const ENVELOPE_BYTES = '{"atomic":false,"commands":[]}'.length;
const COMMA_BYTES = 1;

/**
 * @internal The outcome of each command, in order; `send` sends one message.
 *
 * @throws {Refusal} nothing was carried out.
 * @throws {Unreachable} it says whether commands may have been carried out.
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
      // A command that is too large for a message is refused alone; the others go on.
      const isAlone = !atomic && some.length === 1 && error instanceof Refusal && error.code === "too_large";
      if (isAlone) outcomes.push(counted(error, before));
      else if (before === 0) throw error;
      // The outcomes of the messages before are handed on; the commands from here on get this refusal.
      else if (error instanceof Refusal) return [...outcomes, ...all.slice(before).map(() => error)];
      else if (error instanceof Unreachable) throw new Unreachable(error.message, true, undefined, { cause: error });
      else throw error;
    }
  }
  return outcomes;
}

/** The commands, in order, in as few messages as possible; one that is too large gets its own message. */
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

/** The commands of an atomic batch in one message; throws a `Refusal` if they do not fit in one. */
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

/** The outcome with `details.index` counted among all commands, not among those of one message. */
function counted(outcome: Outcome, before: number): Outcome {
  if (!(outcome instanceof Refusal)) return outcome;
  const { code, message, hint, details } = outcome;
  return new Refusal(code, message, hint, { ...details, index: before + Number(details["index"] ?? 0) });
}
