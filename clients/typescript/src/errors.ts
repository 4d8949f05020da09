/** Refusals of a service, and the errors of a client that gets no answer. */

/** A command or query that was not carried out; nothing was stored for it. Decide by `code`. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
    readonly details: Record<string, unknown>,
  ) {
    super(message);
  }
}

/**
 * No service answered in time. If the command may have been carried out, sending it again under its `commandId` is safe: a
 * command that was carried out is answered, and not done twice.
 */
export class Unreachable extends Error {
  override readonly name = "Unreachable";

  constructor(
    message: string,
    readonly mayHaveBeenCarriedOut: boolean,
    readonly commandId?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The end of a job did not come in the time for it. */
export class NotInTime extends Error {
  override readonly name = "NotInTime";
}

/** The place to go on from is not in the log: it is another store's, or lies ahead of this one's end. */
export class PlaceLost extends Error {
  override readonly name = "PlaceLost";
}

/** @internal The refusal in an answer, if it is one; JetStream's own errors have numbers as codes. */
export function refusalIn(answer: unknown): Refusal | undefined {
  const error = (answer as { error?: Partial<Refusal> } | null)?.error;
  if (typeof error?.code !== "string") return undefined;
  const { code, message = "", hint = "", details = {} } = error;
  return new Refusal(code, message, hint, details);
}

/** @internal Whether the same question may be answered otherwise a moment later. */
export function mayEndOtherwise(refusal: Refusal): boolean {
  if (refusal.code === "behind") return refusal.details["leads"] !== true;
  return refusal.code === "busy" || refusal.code === "unavailable";
}
