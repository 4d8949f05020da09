/** What a client does where no service is, after its end, and with each login in an address: a line for each thing. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { connect, Worker } from "hyperpage-client";

const say = (said: unknown) => console.log(JSON.stringify(said));
const sayError = (work: Promise<unknown>) => work.then(() => say("no error"), ({ name, message }: Error) => say([name, message]));
const client = await connect(process.env["URL"]!);

await sayError(client.sendDurable("app_state.delete", { key: "a" }, { commandId: "d-1", timeoutMs: 1_200 }));
await sayError(client.durableAnswer("d-1"));

const began = Date.now();
await sayError(client.waitFor("one", 300));
// A question without a time of its own takes 5 s.
say(Date.now() - began < 4_000);
await sayError((async () => new Worker(client, {}))());

await client.close();
await sayError(client.waitFor("one"));
await sayError(new Worker(client, { sync: () => {} }).run());

for (const login of JSON.parse(process.env["LOGINS"]!) as string[]) {
  const info = JSON.stringify({ server_id: "x", version: "2.15.0", max_payload: 1_048_576, headers: true, proto: 1, auth_required: true });
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(`INFO ${info}\r\n`);
    socket.once("data", (told) => {
      const { user, pass, auth_token } = JSON.parse(/CONNECT (.*)/.exec(told.toString())![1]!) as Record<string, string>;
      say({ user, pass, auth_token });
      socket.end("-ERR 'Authorization Violation'\r\n");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await connect(`nats://${login}@127.0.0.1:${(server.address() as AddressInfo).port}`, { timeoutMs: 1 }).catch(() => {});
  server.close();
}
const wrong = ["nats://x:y@a:1,,b:2", "nats://x:y@a:1,y:z@b:2", "a:1,nats://x:y@b:2,y:z@c:3", "ws://a:1", "nats://a:1,tls://b:2"];
for (const url of [...wrong, "nats://x:y@a:1,nats://y:z@b:2"]) await sayError(connect(url));
