// The list of submissions: shows changes as they happen, unless somebody is working with the rows.

import { follow } from '../follow.js';
import { LivePage } from '../live.js';
import { call, refreshSession } from './api.js';
import { prepareBulkActions } from './bulk.js';
import { prepareKeys } from './keys.js';
import { prepareSavedFilters } from './saved_filters.js';

/** Changes that arrive together lead to one update. */
const COLLECT_MS = 1_000;
const MIN_INTERVAL_MS = 3_000;

const changes = /** @type {HTMLElement} */ (document.querySelector('#changes'));
const showChanges = /** @type {HTMLButtonElement} */ (document.querySelector('#show-changes'));
const connection = /** @type {HTMLElement} */ (document.querySelector('#connection'));

const bulk = prepareBulkActions({ refresh });
const live = new LivePage({ onUpdate: () => bulk?.show() });

/** Ids of the submissions that have changed since the last update. @type {Set<string>} */
let changed = new Set();
/** Whether an unknown number of submissions has changed. */
let isReset = false;
/** @type {number | undefined} */
let timer;
let updatedAt = 0;

async function refresh() {
  clearTimeout(timer);
  timer = undefined;
  changed = new Set();
  isReset = false;
  updatedAt = Date.now();
  changes.hidden = true;
  // Refreshes an expired session, so that the page is not replaced by the sign-in page. If the server is unavailable,
  // the page itself is requested until it is back.
  await call('GET', '/api/v1/auth/validate').catch(() => null);
  await live.refresh();
}

/** Whether an update would disturb somebody. */
function isPaused() {
  const selection = getSelection();
  const hasText = selection !== null && !selection.isCollapsed;
  return bulk?.hasSelection() || hasText || document.querySelector('dialog[open]') !== null;
}

function update() {
  timer = undefined;
  if (!isPaused()) {
    refresh();
    return;
  }
  const count = new Intl.NumberFormat(document.documentElement.lang).format(changed.size);
  showChanges.textContent = (showChanges.dataset.text ?? '').replace('{count}', isReset ? '…' : count);
  changes.hidden = false;
}

function schedule() {
  timer ??= setTimeout(update, Math.max(COLLECT_MS, updatedAt + MIN_INTERVAL_MS - Date.now()));
}

showChanges.addEventListener('click', () => {
  bulk?.clear();
  refresh();
});

follow('/api/admin/events', {
  onEvent({ name, data }) {
    if (name === 'list_changed') {
      isReset = true;
    }
    changed.add(data?.submission_id ?? '');
    schedule();
  },
  onState({ name }) {
    const texts = { live: connection.dataset.liveText, reconnecting: connection.dataset.reconnectingText };
    connection.textContent = texts[name] ?? '';
    connection.hidden = !texts[name];
  },
  authorize: ({ isRejected }) => (isRejected ? refreshSession() : undefined),
});

prepareKeys();
prepareSavedFilters();
