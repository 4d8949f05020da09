/** The addresses of nats-servers, and who one is there. */
import { Unreachable } from "./errors.js";

/** @internal The servers that an address names, whether they are told nothing unencrypted, and the user or token in it. */
export interface Servers {
  readonly servers: string[];
  readonly isEncrypted: boolean;
  readonly login: { user: string; pass: string } | { token: string } | undefined;
}

/**
 * @internal An address of one or several servers of a cluster, with commas between them; the user in it is that of all. A comma may
 * stand in a password, too: what is before the last `@` is never taken for a host.
 *
 * @throws {Unreachable} an address is not valid, or they have several users; nothing of it is repeated, since it may have a password.
 */
export function serversIn(url: string): Servers {
  const parts = url.split(/,(?=\s*\w+:\/\/)/).map((part) => /^\s*(?:(\w+):\/\/)?(?:(.*)@)?(.*)$/s.exec(part) ?? []);
  const schemes = new Set(parts.map(([, scheme = "nats"]) => scheme.toLowerCase()));
  const users = new Set(parts.map(([, , user = ""]) => user).filter((user) => user !== ""));
  const servers = parts.flatMap(([, , , hosts = ""]) => hosts.split(",")).map(serverAt);
  // All servers of a cluster are encrypted, or none; with a comma and an @ in a user, a host was taken for a part of it.
  const isOne = schemes.size === 1 && (schemes.has("nats") || schemes.has("tls"));
  if (!isOne || [...users].some((user) => user.includes(",") && user.includes("@"))) throw notValid();
  if (users.size > 1) throw new Unreachable("the addresses of the nats-servers have several users: a client is one at all of them", false);
  const [user = ""] = users;
  return { servers, isEncrypted: schemes.has("tls"), login: loginOf(user) };
}

function serverAt(host: string): string {
  const place = `nats://${host.trim()}`;
  const { hostname, port } = URL.canParse(place) ? new URL(place) : { hostname: "", port: "" };
  if (hostname === "") throw notValid();
  return `${hostname}:${port || "4222"}`;
}

function notValid(): Unreachable {
  return new Unreachable("the address of the nats-server is none: it is nats://HOST:PORT, or several with commas between them", false);
}

function loginOf(user: string): Servers["login"] {
  const [name = "", ...rest] = user.split(":");
  if (name === "") return undefined;
  // A name without a password is a token.
  return rest.length === 0 ? { token: decoded(name) } : { user: decoded(name), pass: decoded(rest.join(":")) };
}

/** A text with each %XX as its character; unlike with `decodeURIComponent`, any other % stays as it is. */
function decoded(text: string): string {
  return text.replace(/(?:%[0-9A-F]{2})+/gi, (found) => Buffer.from(found.replaceAll("%", ""), "hex").toString("utf8"));
}
