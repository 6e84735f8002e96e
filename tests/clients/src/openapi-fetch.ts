import createClient from "openapi-fetch";
import type { paths } from "../generated/openapi-typescript.ts";
import { checkMessages, email, photo, url, type Message } from "./checks.ts";

const client = createClient<paths>({ baseUrl: url });

const { data: accepted, error } = await client.POST("/api/user/submit", {
  // The types that openapi-typescript generates declare a file as a string.
  body: { email, comments: "itches", consent: "true", images: [photo as unknown as string] },
  bodySerializer: (body) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(body)) {
      for (const item of [value].flat()) form.append(name, item);
    }
    return form;
  },
});
if (!accepted) throw new Error(`not accepted: ${JSON.stringify(error)}`);

const headers = { Authorization: `Bearer ${accepted.access_token}` };
const params = { path: { id: accepted.submission_id } };

const stream = await client.GET("/api/user/events/{id}", { params, headers, parseAs: "text" });
const blocks = String(stream.data).trimEnd().split("\n\n");
const messages = blocks.map((block): Message => {
  const data = block.split("\n").find((line) => line.startsWith("data:"));
  return JSON.parse(data?.slice("data:".length) ?? "");
});
checkMessages("openapi-fetch", messages);

const { data: status } = await client.GET("/api/user/status/{id}", { params, headers });
if (status?.status !== "completed" || !status.result) {
  throw new Error(`openapi-fetch read ${JSON.stringify(status)}`);
}
