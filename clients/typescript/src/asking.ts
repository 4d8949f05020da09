/** Requests that are asked again until they are answered. */
import { setTimeout as sleep } from "node:timers/promises";
import { headers as newHeaders, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { mayEndOtherwise, type Refusal, refusalIn, Unreachable } from "./errors.js";

const FIRST_WAIT_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** An answer, with its headers. */
export interface Answered {
  readonly body: unknown;
  readonly headers: MsgHdrs | undefined;
}

/**
 * The answer to a question that may be asked several times: it is, until `timeoutMs` have passed.
 *
 * @throws {Refusal} the service's; those that a moment may change, only when the time is up.
 * @throws {Unreachable} there was no answer.
 */
export async function ask(
  nats: NatsConnection,
  subject: string,
  body: unknown,
  about: Record<string, string>,
  timeoutMs: number,
): Promise<Answered> {
  const headers = newHeaders();
  for (const [name, value] of Object.entries(about)) headers.set(name, value);
  const deadline = Date.now() + timeoutMs;
  let refused: Refusal | undefined;
  let isOpen = false;
  for (let attempt = 0; ; attempt++) {
    const left = deadline - Date.now();
    if (left <= 0) break;
    let pause = 0;
    try {
      const timeout = Math.max(1, Math.min(left, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10)));
      const reply = await nats.request(subject, JSON.stringify(body ?? {}), { headers, timeout });
      const answer: unknown = reply.json();
      refused = refusalIn(answer);
      if (refused === undefined) return { body: answer, headers: reply.headers };
      if (!mayEndOtherwise(refused)) throw refused;
      pause = Number(refused.details["retry_after_ms"] ?? 0);
    } catch (error) {
      if (error === refused && refused !== undefined) throw error;
      if (nats.isClosed()) throw error;
      // Nobody listens, no answer came, or the connection was lost: only the first is known to have reached nobody.
      if (!isNobodyThere(error)) isOpen = true;
    }
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10), LONGEST_PAUSE_MS);
    await sleep(Math.max(0, Math.min(pause + longest * (0.5 + Math.random() / 2), deadline - Date.now())));
  }
  if (refused !== undefined && !isOpen) throw refused;
  throw new Unreachable(`no answer on ${subject} within ${timeoutMs} ms`, isOpen);
}

function isNobodyThere(error: unknown): boolean {
  const { name, message, cause } = error as { name?: string; message?: string; cause?: unknown };
  return `${name} ${message} ${(cause as Error | undefined)?.name ?? ""}`.toLowerCase().includes("responders");
}
