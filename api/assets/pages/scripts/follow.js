// Follows an event stream of Diagflow to its end, through restarts, outages, rate limits and sleep.
//
// `EventSource` cannot send a Bearer token and gives up after an error response, so this module uses `fetch`. It
// depends on nothing else and can be copied. Types and descriptions of all options are in follow.d.ts.

const TIMING = { firstDelay: 2_000, maxDelay: 30_000, silence: 45_000, pauseAfter: 30_000 };

/** Statuses after which the stream ends. */
const FINAL = new Set(["completed", "failed", "timed_out", "cancelled"]);
/** Client errors that are temporary. */
const TEMPORARY = new Set([408, 425, 429]);

/**
 * @param {string | URL} url
 * @param {import("./follow.d.ts").FollowOptions} [options]
 * @returns {import("./follow.d.ts").Follower}
 */
export function follow(url, options = {}) {
  const follower = new StreamFollower(url, options);
  follower.run();
  return {
    get state() {
      return follower.state;
    },
    close: () => follower.end({ reason: "closed" }),
  };
}

class StreamFollower {
  /** @type {import("./follow.d.ts").FollowState} */
  state = { name: "connecting", updatedAt: null };

  #url;
  #options;
  #timing;
  /** @type {string | null} */
  #lastEventId;
  #failures = 0;
  #delay;
  #isPaused = false;
  #isRejected = false;
  /** @type {AbortController | null} */
  #request = null;
  /** Ends the current wait early. */
  #wake = () => {};
  #listeners = new AbortController();

  /**
   * @param {string | URL} url
   * @param {import("./follow.d.ts").FollowOptions} options
   */
  constructor(url, options) {
    this.#url = url;
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#delay = this.#timing.firstDelay;
    this.#lastEventId = options.lastEventId ?? null;
  }

  async run() {
    this.#listen();
    while (!this.#isEnded()) {
      if (this.#isPaused) {
        await this.#sleep(Infinity, true);
        continue;
      }
      const attempt = await this.#connect();
      if (attempt.end) this.end(attempt.end);
      if (this.#isEnded() || this.#isPaused || attempt.delay === 0) continue;
      const delay = attempt.delay ?? this.#backoff();
      const retryAt = new Date(Date.now() + delay);
      this.#setState({ name: "reconnecting", updatedAt: this.state.updatedAt, retryAt });
      // A delay that the server requested is not shortened.
      await this.#sleep(delay, attempt.delay === undefined);
    }
  }

  /** @param {import("./follow.d.ts").End} end */
  end(end) {
    if (this.#isEnded()) return;
    this.#listeners.abort();
    this.#setState({ name: "ended", updatedAt: this.state.updatedAt, ...end });
    this.#request?.abort();
    this.#wake();
  }

  /**
   * Makes one request. Returns how following ends, or the delay in milliseconds until the next request if it is fixed.
   *
   * @returns {Promise<{ end?: import("./follow.d.ts").End, delay?: number }>}
   */
  async #connect() {
    const request = new AbortController();
    this.#request = request;
    const silence = watchSilence(request, this.#timing.silence);
    try {
      const response = await this.#fetch(request.signal);
      const { status, ok } = response;
      if (status === 204) return { end: { reason: "complete" } };
      if (!ok) return await this.#refused(response);
      this.#isRejected = false;
      // A stream beyond the limit per client is empty, and this header contains the time to wait.
      const wait = retryAfter(response);
      if (wait !== undefined) {
        this.#failures += 1;
        return { delay: wait };
      }
      return await this.#read(response, silence);
    } catch {
      // The network or the callback `authorize` failed, the connection was lost or silent, or the request was aborted.
      this.#failures += 1;
      return {};
    } finally {
      silence.stop();
      request.abort();
      this.#request = null;
    }
  }

  /** @param {AbortSignal} signal */
  async #fetch(signal) {
    const { authorize, credentials = "same-origin" } = this.#options;
    const token = await authorize?.({ isRejected: this.#isRejected });
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (this.#lastEventId !== null) headers["Last-Event-ID"] = this.#lastEventId;
    return await fetch(this.#url, { headers, credentials, signal, cache: "no-store" });
  }

  /** @param {Response} response */
  async #refused(response) {
    this.#failures += 1;
    const { status } = response;
    const code = await errorCode(response);
    // A proxy responds with its own pages during an outage, so only an error code of Diagflow is final.
    const isFinal = code !== null && status < 500 && !TEMPORARY.has(status);
    if (!isFinal) return { delay: retryAfter(response) };
    if (status === 401 && this.#options.authorize && !this.#isRejected) {
      this.#isRejected = true;
      return { delay: 0 };
    }
    return { end: /** @type {const} */ ({ reason: "error", status, code }) };
  }

  /**
   * @param {Response} response
   * @param {{ reset: () => void }} silence
   */
  async #read(response, silence) {
    const type = response.headers.get("Content-Type") ?? "";
    if (!type.startsWith("text/event-stream") || !response.body) {
      throw new TypeError("the response is not an event stream");
    }
    this.#updated();
    let isFinal = false;
    const parser = new EventParser(this.#lastEventId);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      silence.reset();
      this.#failures = 0;
      this.#updated();
      for (const event of parser.push(part.value)) {
        this.#lastEventId = event.id;
        isFinal = isFinalEvent(event);
        this.#deliver(event);
        if (this.#isEnded()) return {};
      }
      this.#delay = parser.retry ?? this.#delay;
    }
    // After the last event, the next response is 204, which confirms the end.
    if (isFinal) return { delay: 0 };
    this.#failures += 1;
    return {};
  }

  /** @param {import("./follow.d.ts").FollowEvent} event */
  #deliver(event) {
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      reportLater(error);
    }
  }

  #updated() {
    const updatedAt = new Date();
    if (this.state.name === "live") this.state = { name: "live", updatedAt };
    else if (this.state.name !== "ended") this.#setState({ name: "live", updatedAt });
  }

  /** @param {import("./follow.d.ts").FollowState} state */
  #setState(state) {
    this.state = state;
    try {
      this.#options.onState?.(state);
    } catch (error) {
      reportLater(error);
    }
  }

  #isEnded() {
    return this.state.name === "ended";
  }

  #backoff() {
    const doublings = Math.max(0, this.#failures - 1);
    const delay = Math.min(this.#delay * 2 ** doublings, Math.max(this.#timing.maxDelay, this.#delay));
    // Clients that lost their connections at the same time must not all return at the same time.
    return delay * (0.75 + Math.random() / 2);
  }

  /**
   * @param {number} milliseconds
   * @param {boolean} canWake
   */
  #sleep(milliseconds, canWake) {
    return new Promise((resolve) => {
      const timer = milliseconds === Infinity ? undefined : setTimeout(finish, milliseconds);
      this.#wake = () => {
        if (canWake || this.#isEnded()) finish();
      };
      function finish() {
        clearTimeout(timer);
        resolve(undefined);
      }
    });
  }

  /** Reacts to the network and to the visibility of the page. */
  #listen() {
    if (typeof document === "undefined") return;
    const { signal } = this.#listeners;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let hidden;
    const pause = () => {
      if (this.#isPaused) return;
      this.#isPaused = true;
      this.#setState({ name: "paused", updatedAt: this.state.updatedAt });
      this.#request?.abort();
      this.#wake();
    };
    const changed = () => {
      clearTimeout(hidden);
      if (document.hidden) {
        hidden = setTimeout(pause, this.#timing.pauseAfter);
      } else if (this.#isPaused) {
        this.#isPaused = false;
        this.#wake();
      }
    };
    changed();
    signal.addEventListener("abort", () => clearTimeout(hidden));
    document.addEventListener("visibilitychange", changed, { signal });
    // An open request would exclude the page from the browser's back/forward cache.
    addEventListener("pagehide", pause, { signal });
    addEventListener("pageshow", changed, { signal });
    addEventListener("offline", () => this.#request?.abort(), { signal });
    addEventListener("online", () => this.#wake(), { signal });
  }
}

/** Parses an event stream (https://html.spec.whatwg.org/#event-stream-interpretation). */
class EventParser {
  /** @type {number | undefined} */
  retry;

  #rest = "";
  /** @type {string | null} */
  #id;
  #name = "";
  /** @type {string[]} */
  #data = [];

  /** @param {string | null} lastEventId */
  constructor(lastEventId) {
    this.#id = lastEventId;
  }

  /**
   * Returns the events that are complete after this part of the stream.
   *
   * @param {string} text
   */
  *push(text) {
    // The line break after a carriage return may be in the next part.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const event = this.#line(line);
      if (event) yield event;
    }
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") return this.#dispatch();
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "event") this.#name = value ?? "";
    else if (field === "data") this.#data.push(value ?? "");
    else if (field === "id" && !value?.includes("\0")) this.#id = value ?? "";
    else if (field === "retry" && /^\d+$/.test(value ?? "")) this.retry = Number(value);
    return null;
  }

  #dispatch() {
    const [name, lines] = [this.#name || "message", this.#data];
    this.#name = "";
    this.#data = [];
    if (lines.length === 0) return null;
    return { name, id: this.#id, data: parseJson(lines.join("\n")) };
  }
}

/**
 * Aborts the request if nothing is received for a while. Compares times, because timers stop while a computer sleeps.
 *
 * @param {AbortController} request
 * @param {number} limit
 */
function watchSilence(request, limit) {
  let last = Date.now();
  const timer = setInterval(() => {
    if (Date.now() - last > limit) request.abort();
  }, limit / 10);
  return {
    reset: () => {
      last = Date.now();
    },
    stop: () => clearInterval(timer),
  };
}

/**
 * Returns the milliseconds in `Retry-After`, which contains seconds or a date.
 *
 * @param {Response} response
 */
function retryAfter(response) {
  const value = response.headers.get("Retry-After");
  if (value === null) return undefined;
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) + Math.random() * 1_000 : undefined;
}

/**
 * @param {Response} response
 * @returns {Promise<string | null>}
 */
async function errorCode(response) {
  const body = parseJson(await response.text());
  const code = body?.error?.code;
  return typeof code === "string" ? code : null;
}

/** @param {import("./follow.d.ts").FollowEvent} event */
function isFinalEvent(event) {
  return FINAL.has(event.data?.status);
}

/** @param {string} text */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Reports an error of a callback without interrupting the stream.
 *
 * @param {unknown} error
 */
function reportLater(error) {
  setTimeout(() => {
    throw error;
  });
}
