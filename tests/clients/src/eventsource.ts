import { EventSource } from "eventsource";
import { checkMessages, submit, url, type Message } from "./checks.ts";

const { id, token } = await submit();
const messages: Message[] = [];
await new Promise<void>((resolve, reject) => {
  const source = new EventSource(`${url}/api/user/events/${id}`, {
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
  });
  const receive = (event: MessageEvent) => {
    messages.push(JSON.parse(event.data));
    if (event.type === "result_ready") {
      source.close();
      resolve();
    }
  };
  for (const name of ["message", "status_update", "result_ready"]) {
    source.addEventListener(name, receive);
  }
  source.addEventListener("error", (event) => reject(new Error(event.message ?? "disconnected")));
});
checkMessages("eventsource", messages);
