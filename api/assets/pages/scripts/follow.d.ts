/** Follows an event stream of Diagflow until it ends, and reconnects after every interruption. */
export function follow(url: string | URL, options?: FollowOptions): Follower;

export interface Follower {
  /** The current state. `updatedAt` also changes between two calls of `onState`. */
  readonly state: FollowState;
  /** Stops following. */
  close(): void;
}

export interface FollowOptions {
  /** Called for each event, in order and without repeats. */
  onEvent?(event: FollowEvent): void;
  /** Called whenever the connection changes. */
  onState?(state: FollowState): void;
  /**
   * Called before each request. Returns the Bearer token, or nothing if the browser sends a cookie. `isRejected` is true
   * if the server has rejected the previous credentials, so they must be replaced or refreshed first.
   */
  authorize?(attempt: { isRejected: boolean }): Awaitable<string | null | undefined | void>;
  /** Whether the browser sends cookies. For a host of its own on the same site, use `include`. Default: `same-origin`. */
  credentials?: RequestCredentials;
  /** Id of the last event that was already received. */
  lastEventId?: string;
  timing?: Partial<FollowTiming>;
}

/** Times in milliseconds. */
export interface FollowTiming {
  /** Delay before the first reconnection, unless the server sets another one. It doubles with each failure. Default: 2000. */
  firstDelay: number;
  /** Maximum delay, unless the server requests a longer one. Default: 30000. */
  maxDelay: number;
  /** Time without data after which a connection is considered lost. The server sends heartbeats every 15 s. Default: 45000. */
  silence: number;
  /** Time after which a hidden tab is disconnected. It reconnects when it becomes visible. Default: 30000. */
  pauseAfter: number;
}

export interface FollowEvent {
  /** `status_update` or `result_ready` for a submission. */
  name: string;
  id: string | null;
  /** The JSON in the event, or null if the data is not JSON. */
  data: any;
}

/** `updatedAt` is the time at which data was last received. */
export type FollowState =
  | { name: "connecting"; updatedAt: null }
  | { name: "live"; updatedAt: Date }
  | { name: "reconnecting"; updatedAt: Date | null; retryAt: Date }
  | { name: "paused"; updatedAt: Date | null }
  | ({ name: "ended"; updatedAt: Date | null } & End);

/** Why following ended. */
export type End =
  /** All events have been received. */
  | { reason: "complete" }
  /** The server refused the stream permanently, for example with the code `not_found` or `erased`. */
  | { reason: "error"; status: number; code: string }
  /** `close` was called. */
  | { reason: "closed" };

type Awaitable<T> = T | Promise<T>;
