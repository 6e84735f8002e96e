// The page of a submission: performs its actions, reveals personal data, and updates the page when something happens.

import { follow } from '../follow.js';
import { LivePage } from '../live.js';
import { ApiError, call, textOf } from './api.js';
import { confirm, questionOf } from './confirm.js';
import { onSubmit } from './form.js';
import { showToast } from './toast.js';
import { openViewer } from './viewer.js';

/** Several events that follow each other lead to one update. */
const DEBOUNCE_MS = 300;

/** The personal data, once it has been revealed. It is forgotten when the page is left. @type {any} */
let revealed = null;
const page = new LivePage({ onUpdate: showRequested });

function region() {
  return /** @type {HTMLElement} */ (document.querySelector('#submission'));
}

function path() {
  return region().dataset.path ?? '';
}

// Updates

let isStale = false;
let timer = 0;

/** Updates wait while somebody selects text or has a dialog open. */
function isBusy() {
  return document.querySelector('dialog[open]') !== null || getSelection()?.isCollapsed === false;
}

function refreshSoon() {
  isStale = true;
  clearTimeout(timer);
  timer = setTimeout(refreshIfIdle, DEBOUNCE_MS);
}

function refreshIfIdle() {
  if (isStale && !isBusy()) {
    isStale = false;
    page.refresh();
  }
}

follow('/api/admin/events', {
  onEvent: ({ name, data }) => {
    if (name === 'list_changed' || data?.submission_id === region().dataset.id) {
      refreshSoon();
    }
  },
});
document.addEventListener('selectionchange', refreshIfIdle);
// The event does not bubble.
document.addEventListener('close', () => setTimeout(refreshIfIdle), { capture: true });

// Actions

document.addEventListener('click', async ({ target }) => {
  const button = target instanceof Element && target.closest('button, a[data-photo]');
  if (!(button instanceof HTMLElement) || !document.querySelector('#submission')) {
    return;
  }
  const { dataset } = button;
  if (dataset.method) {
    await perform(button);
  } else if (dataset.open) {
    openForm(dataset.open);
  } else if (dataset.assignee !== undefined) {
    await shown(() => update({ assignee: dataset.assignee || null }));
  } else if (dataset.dismiss !== undefined) {
    button.closest('dialog')?.close();
  } else if (dataset.history) {
    await shown(() => showHistory(button));
  } else if (button.id === 'reveal') {
    await shown(reveal);
  }
});

document.addEventListener('click', (event) => {
  const link = event.target instanceof Element && event.target.closest('a[data-photo]');
  if (link instanceof HTMLAnchorElement) {
    event.preventDefault();
    openViewer(/** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll('a[data-photo]')]), link);
  }
});

/** Performs an action that shows its error as a toast. @param {() => Promise<unknown>} action */
async function shown(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    showToast(error.text);
    page.refresh();
  }
}

/** @param {HTMLElement} button */
async function perform(button) {
  const { method = '', path = '', done = '' } = button.dataset;
  const performed = await confirm(questionOf(button), (reason) => call(method, path, { reason }));
  if (performed) {
    showToast(done);
  }
  // After a refusal, the page shows what somebody else did first.
  page.refresh();
}

/** @param {object} changes */
async function update(changes) {
  await call('PATCH', path(), changes, { ifMatch: region().dataset.etag });
  await page.refresh();
}

// Forms

/** @param {string} id */
function openForm(id) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById(id));
  dialog.querySelector('form')?.reset();
  const note = /** @type {HTMLTextAreaElement | null} */ (dialog.querySelector('#note-value'));
  if (note) {
    note.value = document.querySelector('#note-text')?.textContent ?? '';
  }
  dialog.showModal();
}

/** @param {string} id @param {(values: Record<string, string>) => Promise<unknown>} send */
function inDialog(id, send) {
  const form = document.querySelector(`form#${id}`);
  if (!(form instanceof HTMLFormElement)) {
    return;
  }
  onSubmit(form, async (values) => {
    try {
      await send(values);
    } catch (error) {
      if (error instanceof ApiError && error.code === 'precondition_failed') {
        // The form stays open, so that nothing that was entered is lost. The next attempt is based on the new state.
        await page.refresh();
      }
      throw withField(error);
    }
    form.closest('dialog')?.close();
    showToast(form.dataset.done ?? '');
    page.refresh();
  });
}

/** These errors name no field. */
const FIELDS = { reason_required: 'reason', confirmation_required: 'confirm' };

/** @param {unknown} error */
function withField(error) {
  const field = error instanceof ApiError && FIELDS[/** @type {keyof typeof FIELDS} */ (error.code)];
  if (error instanceof ApiError && field) {
    error.details = [{ field, code: error.code, message: textOf(`error-${error.code}`) ?? error.message }];
  }
  return error;
}

inDialog('note-form', ({ note }) => update({ note: note.trim() || null }));
inDialog('address-form', ({ email, resend, reason }) => update({ email, resend: resend === 'true', reason }));
inDialog('erase-form', ({ confirm, reason }) => call('POST', `${path()}/erase`, { confirm: confirm.trim(), reason }));

/** An update replaces what was shown on request. */
function showRequested() {
  showRevealed();
  showHistories();
}

// Personal data

async function reveal() {
  revealed = await call('POST', `${path()}/reveal`);
  showRevealed();
}

function showRevealed() {
  if (!revealed) {
    return;
  }
  for (const element of document.querySelectorAll('[data-personal]')) {
    const value = revealed[/** @type {HTMLElement} */ (element).dataset.personal ?? ''];
    if (value !== undefined && value !== null) {
      element.textContent = Array.isArray(value) ? value.join('\n') : value;
    }
  }
  document.querySelector('#reveal')?.remove();
  document.querySelector('#reveal-hint')?.remove();
}

// Raw history

/** The histories that are shown, by the id of their element. @type {Map<string, string>} */
const histories = new Map();

/** @param {HTMLElement} button */
async function showHistory(button) {
  const id = button.getAttribute('aria-controls') ?? '';
  if (!histories.delete(id)) {
    histories.set(id, JSON.stringify(await call('GET', button.dataset.history ?? ''), null, 2));
  }
  showHistories();
}

function showHistories() {
  for (const button of document.querySelectorAll('[data-history]')) {
    const id = button.getAttribute('aria-controls') ?? '';
    const text = histories.get(id);
    button.setAttribute('aria-expanded', String(text !== undefined));
    const history = document.createElement('pre');
    history.className = 'raw-history';
    history.tabIndex = 0;
    history.textContent = text ?? '';
    document.getElementById(id)?.replaceChildren(...(text === undefined ? [] : [history]));
  }
}
