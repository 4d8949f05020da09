/** Follows the log, or a table, from its beginning, and says each event, until the key `end` is set. */
import { addressIn, connect } from "hyperpage-client";

const client = await connect(addressIn("data"));
for await (const event of client.follow(process.env["TABLE"] === undefined ? {} : { table: "app_state" })) {
  console.log(event.id, event.subject);
  if (event.subject === "app_state/end") break;
}
await client.close();
