// The API, the photo and the assertions that all checks share.

import { readFileSync } from "node:fs";

export const url = required("DIAGFLOW_URL");
const bytes = new Uint8Array(readFileSync(required("PHOTO")));
export const photo = new File([bytes], "retina.jpg", { type: "image/jpeg" });
export const photoDataUrl = `data:image/jpeg;base64,${Buffer.from(bytes).toString("base64")}`;
// The address is random, because the number of submissions per recipient is limited.
export const email = `${crypto.randomUUID()}@example.org`;

export interface Message {
  status: string;
  step: string;
}

export interface Submission {
  id: string;
  token: string;
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

export async function submit(): Promise<Submission> {
  const form = new FormData();
  form.set("email", email);
  form.set("comments", "itches");
  form.set("consent", "true");
  form.append("images", photo);
  const response = await fetch(`${url}/api/user/submit`, { method: "POST", body: form });
  const body = await response.json();
  if (response.status !== 202) throw new Error(`not accepted: ${JSON.stringify(body)}`);
  return { id: body.submission_id, token: body.access_token };
}

/** Asserts that a stream started with `received`, ended with `result_ready`, and repeated no message. */
export function checkMessages(client: string, messages: Message[]) {
  const steps = messages.map((message) => message.step);
  const isComplete = steps[0] === "received" && steps.at(-1) === "result_ready";
  if (!isComplete || new Set(steps).size !== steps.length) {
    throw new Error(`${client} received ${steps.join(", ")}`);
  }
  console.log(`${client}: ${steps.join(", ")}`);
}
