import { client } from "../generated/hey-api/client.gen.ts";
import { createSubmission, followSubmission, readSubmissionStatus } from "../generated/hey-api/index.ts";
import { checkMessages, email, photoDataUrl, url, type Message } from "./checks.ts";

client.setConfig({ baseUrl: url });

// If an operation accepts JSON and a form, hey-api generates only the JSON variant.
const { data: accepted, error } = await createSubmission({
  body: { email, comments: "itches", consent: true, images: [{ data: photoDataUrl, name: "retina.jpg" }] },
});
if (!accepted) throw new Error(`not accepted: ${JSON.stringify(error)}`);

const headers = { Authorization: `Bearer ${accepted.access_token}` };
const path = { id: accepted.submission_id };

const messages: Message[] = [];
const { stream } = await followSubmission({ path, headers, sseMaxRetryAttempts: 1 });
// The type of a message includes `void`, because of the response 204.
for await (const message of stream) if (message) messages.push(message);
checkMessages("hey-api", messages);

const { data: status } = await readSubmissionStatus({ path, headers });
if (status?.status !== "completed" || !status.result) {
  throw new Error(`hey-api read ${JSON.stringify(status)}`);
}
