// A program that stands on what openapi-typescript makes of the document of the HTTP API.
import type { components, operations, paths } from "./contract.js";

type Schemas = components["schemas"];
type Claimed = operations["jobs.claim"]["responses"][200]["content"]["application/json"];
type Found = paths["/api/v1/jobs"]["get"]["responses"][200]["content"]["application/json"];
type Sent = operations["jobs.enqueue"]["requestBody"]["content"]["application/json"];

export function leases(answer: Claimed): Record<string, string> {
  return Object.fromEntries(answer.result.jobs.map((job) => [job.id, job.lease]));
}

export function running(page: Found): Schemas["Job"][] {
  // @ts-expect-error: there is no such state.
  page.items.filter((job) => job.state === "done");
  return page.items.filter((job) => job.state === "running" && job.tags.includes("nightly"));
}

// What has a default may be left out, also inside.
export const job: Sent = { type: "sync", name: "Sync", unique: { key: "k", scope: "all" } };
// @ts-expect-error: nobody says what kind of work it is.
export const vague: Sent = { name: "Sync" };
// @ts-expect-error: tags are texts.
export const tagged: Sent = { type: "sync", name: "Sync", tags: [1] };
export const completed: NonNullable<operations["jobs.complete"]["requestBody"]>["content"]["application/json"] = {
  lease: "l",
};

export function seen(event: Schemas["Event"]): Schemas["JobCompletedV1"] | string {
  if (event.type === "hyperpage.job.completed.v1") return event.data;
  // @ts-expect-error: these are other data.
  if (event.type === "hyperpage.job.failed.v1") return event.data.result;
  return event.type;
}

export function configured(config: Schemas["ToolConfig"]): boolean {
  return config.enabled && config.config["owner"] !== undefined;
}
