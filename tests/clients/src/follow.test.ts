// Tests follow.js against a server that responds with a script. `run` copies the module into this folder.

import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { follow, type FollowEvent, type FollowOptions, type FollowState } from "./follow.js";

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const timing = { firstDelay: 20, maxDelay: 80, silence: 200, pauseAfter: 20 };

/** Sends a stream and ends it. */
const stream =
  (text: string, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(200, { "Content-Type": "text/event-stream", ...headers }).end(text);

/** Sends a stream and leaves it open. */
const open =
  (text: string): Answer =>
  (response) =>
    void response.writeHead(200, { "Content-Type": "text/event-stream" }).write(text);

const status =
  (code: number, headers: Record<string, string> = {}, body = "<h1>A page of a proxy</h1>"): Answer =>
  (response) =>
    response.writeHead(code, headers).end(body);

const refusal = (code: number, name: string): Answer =>
  status(code, {}, JSON.stringify({ success: false, error: { code: name } }));

const event = (id: number, state = "processing") =>
  `event: status_update\nid: ${id}\ndata: {"status":"${state}","number":${id}}\n\n`;

const all = status(204, {}, "");

/** Refuses the stream until a date, which is rounded down to seconds. */
const until =
  (milliseconds: number): Answer =>
  (...arguments_) =>
    status(503, { "Retry-After": new Date(Date.now() + milliseconds).toUTCString() })(...arguments_);

interface Story {
  requests: { at: number; lastEventId?: string; authorization?: string }[];
  events: FollowEvent[];
  states: FollowState[];
}

/** Follows a server that gives these answers in turn, until following ends. */
async function play(answers: Answer[], options: FollowOptions = {}): Promise<Story> {
  const story: Story = { requests: [], events: [], states: [] };
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    const lastEventId = request.headers["last-event-id"] as string | undefined;
    story.requests.push({ at: Date.now(), lastEventId, authorization });
    const answer = answers.shift();
    if (answer) answer(response, request);
    else response.writeHead(500).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await new Promise<void>((resolve) => {
      follow(`http://127.0.0.1:${port}/`, {
        ...options,
        timing: { ...timing, ...options.timing },
        onEvent: (event) => {
          story.events.push(event);
          options.onEvent?.(event);
        },
        onState: (state) => {
          story.states.push(state);
          options.onState?.(state);
          if (state.name === "ended") resolve();
        },
      });
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
  assert.equal(answers.length, 0, "all answers were used");
  return story;
}

const numbers = (story: Story) => story.events.map((event) => event.data.number);
const names = (story: Story) => story.states.map((state) => state.name);
const end = (story: Story) => story.states.at(-1);

test("a stream is followed from the last event after an interruption until all events are received", async () => {
  const cut: Answer = (response, request) => {
    open(`retry: 30\n:\n${event(1)}event: status_update\nid: 2\nda`)(response, request);
    setTimeout(() => response.destroy(), 20);
  };
  const story = await play([cut, stream(`${event(2)}${event(3, "completed")}`), all]);
  assert.deepEqual(numbers(story), [1, 2, 3]);
  assert.deepEqual(
    story.requests.map((request) => request.lastEventId),
    [undefined, "1", "3"],
  );
  assert.deepEqual(names(story), ["live", "reconnecting", "live", "ended"]);
  const { updatedAt } = end(story)!;
  assert.deepEqual(end(story), { name: "ended", updatedAt, reason: "complete" });
});

test("errors of the server and pages of a proxy are retried with growing delays", async () => {
  const answers = [status(502), status(503), status(404), status(200), status(500), all];
  const story = await play(answers, { timing: { firstDelay: 10, maxDelay: 1_000 } });
  const gaps = story.requests.slice(1).map((request, i) => request.at - story.requests[i]!.at);
  assert.ok(gaps[4]! >= 120, `the fifth delay is at least 75 % of 160 ms: ${gaps}`);
  assert.ok(gaps[0]! < 120, `the first delay is short: ${gaps}`);
});

test("the time in Retry-After is respected, even after an empty stream", async () => {
  for (const answer of [
    status(429, { "Retry-After": "1" }),
    until(2_000),
    stream("retry: 1000\n: too many requests\n", { "Retry-After": "1" }),
  ]) {
    const story = await play([answer, all]);
    const [first, second] = story.requests;
    assert.ok(second!.at - first!.at >= 900, `${second!.at - first!.at} ms`);
    assert.deepEqual(names(story), ["reconnecting", "ended"]);
  }
});

test("a silent connection is replaced, and heartbeats keep it open", async () => {
  const beating: Answer = (response, request) => {
    open(event(1))(response, request);
    const timer = setInterval(() => response.write(":\n"), 100);
    setTimeout(() => clearInterval(timer), 500);
  };
  const story = await play([beating, all]);
  const [first, second] = story.requests;
  assert.ok(second!.at - first!.at > 600, `${second!.at - first!.at} ms`);
});

test("only a refusal by Diagflow ends following", async () => {
  for (const [code, name] of [
    [404, "not_found"],
    [410, "erased"],
    [401, "token_required"],
  ] as const) {
    const story = await play([refusal(code, name)]);
    const last = end(story);
    assert.deepEqual(last, { name: "ended", updatedAt: null, reason: "error", status: code, code: name });
  }
  await play([refusal(429, "too_many_requests"), refusal(503, "busy"), all]);
});

test("rejected credentials are replaced once", async () => {
  const authorize = ({ isRejected }: { isRejected: boolean }) => (isRejected ? "new" : "old");
  const rejected = refusal(401, "token_invalid");
  const story = await play([rejected, stream(event(1)), rejected, all], { authorize });
  assert.deepEqual(
    story.requests.map((request) => request.authorization),
    ["Bearer old", "Bearer new", "Bearer old", "Bearer new"],
  );
  const denied = await play([rejected, rejected], { authorize });
  assert.equal(end(denied)?.name, "ended");
});

test("the format of event streams is understood in any division", async () => {
  const text =
    '\uFEFFretry: 10\r\nid: 1\r\nevent: a\r\ndata: {"number":\r\ndata: 1}\r\n\r\n:x\rdata:{"number":2}\r\rid: 7\n\ndata: ü\n\n';
  const bytes = Buffer.from(text);
  const bytewise: Answer = async (response, request) => {
    open("")(response, request);
    for (const byte of bytes) {
      response.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  };
  const story = await play([bytewise, all]);
  assert.deepEqual(story.events, [
    { name: "a", id: "1", data: { number: 1 } },
    { name: "message", id: "1", data: { number: 2 } },
    { name: "message", id: "7", data: null },
  ]);
  assert.equal(story.requests[1]!.lastEventId, "7");
});

test("an error in a callback does not end following", async () => {
  const errors: unknown[] = [];
  const record = (error: unknown) => errors.push(error);
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", record);
  const onEvent = () => {
    throw new Error("of the page");
  };
  const story = await play([stream(event(1)), stream(event(2)), all], { onEvent });
  process.removeListener("uncaughtException", record);
  for (const other of others) process.on("uncaughtException", other);
  assert.deepEqual(numbers(story), [1, 2]);
  assert.equal(errors.length, 2);
});

test("a hidden page is disconnected and resumes when it is visible", async () => {
  const page = Object.assign(new EventTarget(), { hidden: false });
  const window = new EventTarget();
  const globals = globalThis as Record<string, unknown>;
  globals.document = page;
  globals.addEventListener = window.addEventListener.bind(window);
  const show = (hidden: boolean) => {
    page.hidden = hidden;
    page.dispatchEvent(new Event("visibilitychange"));
  };
  try {
    const story = await play([open(event(1)), stream(event(2, "failed")), all], {
      onEvent: ({ data }) => data.number === 1 && show(true),
      onState: ({ name }) => name === "paused" && setTimeout(() => show(false), 50),
    });
    assert.deepEqual(names(story), ["live", "paused", "live", "ended"]);
    assert.deepEqual(numbers(story), [1, 2]);
  } finally {
    delete globals.document;
    delete globals.addEventListener;
  }
});
