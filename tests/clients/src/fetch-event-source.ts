import { fetchEventSource } from "@microsoft/fetch-event-source";
import { checkMessages, submit, url, type Message } from "./checks.ts";

// The library expects a browser. It uses these three members only.
Object.assign(globalThis, {
  window: globalThis,
  document: { hidden: false, addEventListener() {}, removeEventListener() {} },
});

const { id, token } = await submit();
const messages: Message[] = [];
await fetchEventSource(`${url}/api/user/events/${id}`, {
  headers: { Authorization: `Bearer ${token}` },
  onmessage: (event) => {
    messages.push(JSON.parse(event.data));
  },
  // Without this, the library reconnects for ever after an error in the handler.
  onerror: (error) => {
    throw error;
  },
});
checkMessages("@microsoft/fetch-event-source", messages);
