// Sends the form of the start page with progress, repeats it after a lost connection, and shows the errors that the
// server returns without losing the chosen photos. Without this script, the browser sends the same form.

import { Photos, fill } from './photos.js';

/** Waits after lost connections, in seconds. */
const WAITS = [1, 2, 4, 8, 15, 30, 30, 30];
/** If the server asks for a longer wait than this, the person decides when to try again. */
const MAX_WAIT = 60;
/** The server stores a form only once, so these responses can be followed by the same request. */
const RETRIED_STATUSES = [0, 409, 429, 502, 503, 504];

/** No response, or the response of a proxy that cannot reach the server. */
const CONNECTION_STATUSES = [0, 502, 504];

const form = document.querySelector('#form');
const progress = document.querySelector('#progress');
const progressText = document.querySelector('#progress-text');
const meter = document.querySelector('#progress-meter');
const send = document.querySelector('#send');
const title = document.title;
let isSending = false;

new Photos(document.querySelector('#photos'), {
  maxBytes: Number(form.dataset.maxBytes),
  maxFiles: Number(form.dataset.maxFiles),
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!isSending) {
    sendForm();
  }
});

window.addEventListener('beforeunload', (event) => {
  if (isSending) {
    event.preventDefault();
  }
});

async function sendForm() {
  setSending(true);
  const body = new FormData(form);
  const key = body.get('idempotency_key');
  for (let attempt = 0; ; attempt += 1) {
    const response = await post(body, key);
    if (response.page) {
      isSending = false;
      location.assign(response.page);
      return;
    }
    const wait = waitAfter(response, attempt);
    if (wait === null) {
      setSending(false);
      showErrors(response);
      return;
    }
    await countDown(wait, CONNECTION_STATUSES.includes(response.status) ? form.dataset.reconnecting : form.dataset.busy);
  }
}

function setSending(isStarting) {
  isSending = isStarting;
  progress.hidden = !isStarting;
  send.setAttribute('aria-disabled', String(isStarting));
  if (isStarting) {
    document.querySelector('#errors').replaceChildren();
    document.title = title;
  }
}

/**
 * @typedef {{ status: number, page?: string, retryAfter?: number, html?: string }} Outcome `status` is 0 if there was no
 * response.
 */

/** @param {FormData} body @param {string} key @returns {Promise<Outcome>} */
function post(body, key) {
  return new Promise((resolve) => {
    // `fetch` does not report the progress of an upload.
    const request = new XMLHttpRequest();
    request.open('POST', form.action);
    request.setRequestHeader('Idempotency-Key', key);
    request.setRequestHeader('Accept', 'text/html');
    request.upload.addEventListener('progress', ({ loaded, total }) => showProgress(loaded / total));
    request.addEventListener('load', () => {
      const isAccepted = new URL(request.responseURL).pathname.startsWith('/s/');
      resolve({
        status: request.status,
        page: isAccepted ? request.responseURL : undefined,
        retryAfter: Number(request.getResponseHeader('Retry-After')) || undefined,
        html: request.responseText,
      });
    });
    request.addEventListener('error', () => resolve({ status: 0 }));
    showProgress(0);
    request.send(body);
  });
}

function showProgress(share) {
  const percent = Math.floor(100 * share);
  meter.value = percent;
  // Screen readers would read every change.
  const step = 10 * Math.floor(percent / 10);
  setProgressText(share < 1 ? fill(form.dataset.sending, { percent: step }) : form.dataset.checking);
}

function setProgressText(text) {
  if (progressText.textContent !== text) {
    progressText.textContent = text;
  }
}

/** Returns the seconds until the next attempt, or `null` if the person must act. */
function waitAfter({ status, retryAfter }, attempt) {
  if (!RETRIED_STATUSES.includes(status) || attempt >= WAITS.length || (retryAfter ?? 0) > MAX_WAIT) {
    return null;
  }
  // A limit without a delay does not end soon.
  if (status === 429 && !retryAfter) {
    return null;
  }
  return Math.max(WAITS[attempt], retryAfter ?? 0);
}

async function countDown(seconds, text) {
  meter.value = 0;
  setProgressText(fill(text, { seconds }));
  await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  while (!navigator.onLine) {
    setProgressText(form.dataset.offline);
    await new Promise((resolve) => window.addEventListener('online', resolve, { once: true }));
  }
}

/** Shows the errors of the page that the server returned. A proxy's page has none. @param {Outcome} response */
function showErrors({ html }) {
  const returned = new DOMParser().parseFromString(html ?? '', 'text/html');
  const summary = returned.querySelector('#error-summary') ?? unknownProblem();
  // This script moves the focus. Browsers process the attribute only while they load a page.
  summary.removeAttribute('autofocus');
  document.querySelector('#errors').replaceChildren(document.adoptNode(summary));
  document.title = fill(form.dataset.titleWithError, { title });
  for (const field of returned.querySelectorAll('[data-field]')) {
    showFieldErrors(field);
  }
  for (const name of ['idempotency_key', 'consent_version']) {
    const value = returned.querySelector(`[name="${name}"]`)?.value;
    if (value) {
      form.elements[name].value = value;
    }
  }
  document.querySelector('#error-summary').focus();
}

/** @param {HTMLElement} returned */
function showFieldErrors(returned) {
  const field = form.querySelector(`[data-field="${returned.dataset.field}"]`);
  const errors = returned.querySelector('.field__error');
  const isInvalid = returned.classList.contains('field--invalid');
  field.classList.toggle('field--invalid', isInvalid);
  field.querySelector('.field__error').replaceWith(document.adoptNode(errors));
  const control = field.querySelector(`#${returned.dataset.field}`);
  control.toggleAttribute('aria-invalid', false);
  if (isInvalid) {
    control.setAttribute('aria-invalid', 'true');
  }
  // The text may have changed since this page was opened.
  const consent = returned.querySelector('#consent-text');
  if (consent && consent.textContent !== field.querySelector('#consent-text').textContent) {
    field.querySelector('#consent-text').replaceWith(document.adoptNode(consent));
    control.checked = false;
  }
}

function unknownProblem() {
  const summary = document.createElement('div');
  summary.className = 'error-summary';
  summary.id = 'error-summary';
  summary.tabIndex = -1;
  summary.setAttribute('role', 'alert');
  const heading = document.createElement('h2');
  heading.textContent = form.dataset.problemTitle;
  const text = document.createElement('p');
  text.textContent = form.dataset.failed;
  summary.append(heading, text);
  return summary;
}
