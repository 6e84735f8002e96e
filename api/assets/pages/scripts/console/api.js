// Calls the JSON API with the session cookie and the CSRF token. An expired access token is refreshed once. If the
// session has ended, the browser opens the sign-in page, which returns to this page.

const CSRF_PATH = '/api/v1/auth/validate';
const REFRESH_PATH = '/api/v1/auth/refresh';

/** The access token is missing, expired or was signed with another key, but the session may still be valid. */
const REFRESHED_CODES = ['token_expired', 'token_invalid', 'sign_in_required'];

/** An error response, or no response at all (`network`). */
export class ApiError extends Error {
  /** @param {number} status @param {any} body @param {number | undefined} retryAfter */
  constructor(status, body, retryAfter) {
    const error = body?.error ?? {};
    super(error.message ?? `status ${status}`);
    this.status = status;
    /** The API's stable code, such as `not_final`; `network` without a response, `unknown` without a code. */
    this.code = error.code ?? (status === 0 ? 'network' : 'unknown');
    /** @type {{ field: string, code: string, message: string }[]} */
    this.details = error.details ?? [];
    /** The number in a `match_count_changed` error. @type {number | undefined} */
    this.matched = error.matched;
    /** Seconds after which the request may be repeated. @type {number | undefined} */
    this.retryAfter = retryAfter;
  }

  /** The error in the language of the page. */
  get text() {
    const text = textOf(`error-${this.code}`) ?? textOf('error-unknown') ?? this.message;
    return text.replace('{duration}', duration(this.retryAfter ?? 0)).replace('{matched}', String(this.matched));
  }

  /** @param {{ code: string, message: string }} detail */
  static fieldText(detail) {
    return textOf(`field-${detail.code}`) ?? detail.message;
  }
}

/** Returns a text that the page contains for scripts. @param {string} name */
export function textOf(name) {
  const texts = /** @type {HTMLTemplateElement} */ (document.querySelector('#texts')).content;
  return texts.querySelector(`[data-name="${name}"]`)?.textContent;
}

/** @param {number} seconds */
function duration(seconds) {
  const [unit, value] = seconds > 90 ? ['minute', Math.ceil(seconds / 60)] : ['second', seconds];
  const format = new Intl.NumberFormat(document.documentElement.lang, { style: 'unit', unit, unitDisplay: 'long' });
  return format.format(Number(value));
}

/**
 * Sends one request.
 *
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>} the JSON of the response, or `null` if it has no body
 */
export async function send(method, path, body, headers = {}) {
  const hasBody = body !== undefined && body !== null;
  const response = await fetch(path, {
    method,
    headers: { Accept: 'application/json', ...(hasBody && { 'Content-Type': 'application/json' }), ...headers },
    body: hasBody ? JSON.stringify(body) : undefined,
    credentials: 'same-origin',
    cache: 'no-store',
  }).catch(() => {
    throw new ApiError(0, null, undefined);
  });
  const json = await response.json().catch(() => null);
  if (!response.ok) {
    throw new ApiError(response.status, json, Number(response.headers.get('Retry-After')) || undefined);
  }
  return json;
}

/** @type {Promise<string> | null} */
let csrfToken = null;

function readCsrfToken() {
  csrfToken ??= send('GET', CSRF_PATH).then((session) => session.csrf_token);
  csrfToken.catch(() => {
    csrfToken = null;
  });
  return csrfToken;
}

/** @type {Promise<void> | null} */
let refreshing = null;

/** Refreshes the access token. Simultaneous calls share one request. */
export function refreshSession() {
  refreshing ??= send('POST', REFRESH_PATH)
    .then((session) => {
      csrfToken = Promise.resolve(session.csrf_token);
    })
    .finally(() => {
      refreshing = null;
    });
  return refreshing;
}

/** Opens the sign-in page. The returned promise never settles, because the page is left. */
function signIn() {
  location.assign(`/login?return=${encodeURIComponent(location.pathname + location.search)}`);
  return new Promise(() => {});
}

/**
 * Calls the API.
 *
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {{ ifMatch?: string }} [options] `ifMatch` is the `ETag` of the version that the change is based on.
 * @returns {Promise<any>} the JSON of the response, or `null` if it has no body
 * @throws {ApiError}
 */
export async function call(method, path, body, { ifMatch } = {}) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const headers = method === 'GET' ? {} : { 'X-CSRF-Token': await readCsrfToken() };
      return await send(method, path, body, ifMatch ? { ...headers, 'If-Match': ifMatch } : headers);
    } catch (error) {
      if (!(error instanceof ApiError) || attempt > 0) {
        throw error;
      }
      if (error.code === 'csrf_token_invalid') {
        // Somebody has signed in again in another tab.
        csrfToken = null;
      } else if (REFRESHED_CODES.includes(error.code)) {
        await refreshSession().catch((refused) => (refused.status === 401 ? signIn() : Promise.reject(refused)));
      } else if (error.code === 'session_ended') {
        await signIn();
      } else {
        throw error;
      }
    }
  }
}
