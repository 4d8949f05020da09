/** Requests that are asked again until they are answered. */
import { headers as newHeaders, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { mayEndOtherwise, Refusal, refusalIn, Unreachable } from "./errors.js";

const FIRST_WAIT_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** An answer, with its headers. */
export interface Answered {
  readonly body: unknown;
  readonly headers: MsgHdrs | undefined;
}

type Outcome = { answered: Answered } | { error: unknown };

/** The questions of one connection, each asked until it is answered. */
export class Questions {
  private isUp = true;
  private readonly waiting = new Set<() => void>();

  constructor(private readonly nats: NatsConnection) {
    void this.watch();
  }

  /**
   * The answer to a question, which is asked again until it is answered or `timeoutMs` have passed. A late answer to the first
   * attempt is as good as one to the second.
   *
   * @throws {Refusal} the service refuses; a refusal that a later attempt might not get comes only when the time is up.
   * @throws {Unreachable} there was no answer.
   */
  async ask(subject: string, body: unknown, about: Record<string, string>, timeoutMs: number): Promise<Answered> {
    const { nats } = this;
    const headers = newHeaders();
    for (const [name, value] of Object.entries(about)) headers.set(name, value);
    const payload = JSON.stringify(body ?? {});
    const deadline = Date.now() + timeoutMs;
    const outcomes: Outcome[] = [];
    let wake = () => {};
    let unanswered = 0;
    let refused: Refusal | undefined;
    let cause: unknown;

    const send = (timeout: number) => {
      unanswered++;
      const take = (outcome: Outcome) => (outcomes.push(outcome), wake());
      nats.request(subject, payload, { headers, timeout }).then(
        (reply) => take({ answered: { body: parsed(reply.string()), headers: reply.headers } }),
        (error: unknown) => take({ error }),
      );
    };
    const woken = async (until: number): Promise<void> => {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        wake = resolve;
        timer = setTimeout(resolve, Math.max(0, until - Date.now()));
      });
      clearTimeout(timer);
    };
    const next = async (until: number): Promise<Outcome | undefined> => {
      if (outcomes.length === 0) await woken(until);
      return outcomes.shift();
    };

    const changed = () => wake();
    this.waiting.add(changed);
    try {
      for (let attempt = 0; ; attempt++) {
        // The library keeps a message that is sent without a connection, and loses it when there is one again.
        while (!this.isUp && !nats.isClosed() && Date.now() < deadline) await woken(deadline);
        const left = deadline - Date.now();
        if (left <= 0 || nats.isClosed()) break;
        send(left);
        let again = Date.now() + FIRST_WAIT_MS * 2 ** Math.min(attempt, 10);
        for (let outcome; (outcome = await next(Math.min(again, deadline))) !== undefined; ) {
          let wanted = 0;
          if ("answered" in outcome) {
            unanswered--;
            refused = refusalIn(outcome.answered.body);
            if (refused === undefined) return outcome.answered;
            if (!mayEndOtherwise(refused)) throw refused;
            wanted = Number(refused.details["retry_after_ms"] ?? 0);
          } else {
            if (isLocal(outcome.error)) throw tooLarge(nats, payload) ?? outcome.error;
            if (isNobodyThere(outcome.error)) unanswered--;
            cause = outcome.error;
            if (nats.isClosed()) break;
          }
          const longest = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10), LONGEST_PAUSE_MS);
          again = Date.now() + wanted + longest * (0.5 + Math.random() / 2);
        }
      }
    } finally {
      this.waiting.delete(changed);
    }
    if (refused !== undefined && unanswered === 0) throw refused;
    const said = nats.isClosed() ? "the connection is closed" : `no answer on ${subject} within ${timeoutMs} ms`;
    throw new Unreachable(said, unanswered > 0, undefined, { cause });
  }

  /** Questions and answers on their way are lost with the connection: each question is asked again once there is a new one. */
  private async watch(): Promise<void> {
    for await (const { type } of this.nats.status()) {
      if (type === "disconnect") this.isUp = false;
      if (type !== "reconnect" && type !== "close") continue;
      this.isUp = true;
      for (const wake of [...this.waiting]) wake();
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { error: { code: "unknown", message: "an answer that cannot be read" } };
  }
}

/** Whether nothing was sent, and another attempt would send nothing either. */
function isLocal(error: unknown): boolean {
  return ["InvalidArgumentError", "InvalidSubjectError", "PermissionViolationError"].includes((error as Error).name);
}

function tooLarge(nats: NatsConnection, payload: string): Refusal | undefined {
  const [limit, size] = [nats.info?.max_payload ?? Number.POSITIVE_INFINITY, Buffer.byteLength(payload)];
  if (size < limit * 0.99) return undefined;
  return new Refusal("too_large", `a message has at most ${limit} bytes`, "send less at once", { limit_bytes: limit, size_bytes: size });
}

function isNobodyThere(error: unknown): boolean {
  const { name, message, cause } = error as { name?: string; message?: string; cause?: unknown };
  return `${name} ${message} ${(cause as Error | undefined)?.name ?? ""}`.toLowerCase().includes("responders");
}
