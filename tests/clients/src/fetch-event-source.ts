import { fetchEventSource } from "@microsoft/fetch-event-source";
import { checkMessages, submit, url, type Message } from "./checks.ts";

// The library expects a browser, but uses only `window` and three members of `document`.
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
  // The error must be thrown again. Otherwise, the library reconnects forever after an error in the handler.
  onerror: (error) => {
    throw error;
  },
});
checkMessages("@microsoft/fetch-event-source", messages);
