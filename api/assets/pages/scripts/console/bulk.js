// Selecting rows of the list, and actions on the selected submissions or on all that match the filters.

import { call } from './api.js';
import { confirm } from './confirm.js';
import { showToast } from './toast.js';

/** Parameters of the address that do not filter the list. */
const NO_FILTERS = ['page', 'per_page', 'cursor', 'sort', 'deleted'];
const LISTS = ['status', 'email_state'];

const number = new Intl.NumberFormat(document.documentElement.lang);

/** @param {string | undefined} text @param {Record<string, string | number>} values */
function filled(text, values) {
  return (text ?? '').replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === 'number' ? number.format(value) : value;
  });
}

/** Returns the filters of the page's address as the API's bulk actions expect them. */
function filtersOfPage() {
  /** @type {Record<string, any>} */
  const filter = {};
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (value === '' || NO_FILTERS.includes(name)) {
      continue;
    }
    if (LISTS.includes(name)) {
      filter[name] = [...(filter[name] ?? []), ...value.split(',')];
    } else {
      filter[name] = name === 'stuck' ? value === 'true' : value;
    }
  }
  return filter;
}

/** @param {string} status */
function statusName(status) {
  const names = /** @type {HTMLTemplateElement} */ (document.querySelector('#state-names')).content;
  return names.querySelector(`[data-status="${status}"]`)?.textContent ?? status;
}

/**
 * Counts the submissions to which the action can be applied, by state.
 *
 * @param {string} path
 * @param {Record<string, any>} filter
 * @param {string[]} statuses
 * @param {string | undefined} reason
 * @returns {Promise<{ status: string, matched: number }[]>}
 */
async function preview(path, filter, statuses, reason) {
  const counts = statuses.map(async (status) => {
    const body = { filter: { ...filter, status: [status] }, reason, dry_run: true };
    const { matched } = await call('POST', path, body);
    return { status, matched };
  });
  return (await Promise.all(counts)).filter(({ matched }) => matched > 0);
}

/**
 * Sends requests until no matching submission remains, because each request changes a limited number.
 *
 * @param {string} path
 * @param {Record<string, any>} filter
 * @param {string} reason
 * @param {number} matched
 * @param {(changed: number) => void} onProgress
 */
async function carryOut(path, filter, reason, matched, onProgress) {
  let [total, expected] = [0, matched];
  while (expected > 0 && total < matched) {
    const { changed, remaining } = await call('POST', path, { filter, reason, expected });
    total += changed;
    onProgress(total);
    if (changed === 0) {
      break;
    }
    expected = remaining;
  }
  return total;
}

/** Prepares the actions, or returns `null` if the account may not use them. @param {{ refresh: () => void }} options */
export function prepareBulkActions({ refresh }) {
  const bar = /** @type {HTMLElement | null} */ (document.querySelector('#actions'));
  if (!bar) {
    return null;
  }
  const count = /** @type {HTMLElement} */ (bar.querySelector('#selected-count'));
  const selectMatching = /** @type {HTMLButtonElement} */ (bar.querySelector('#select-matching'));
  let isAllMatching = false;

  const boxes = () => /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll('[data-select]')]);
  const selected = () => boxes().filter((box) => box.checked);
  const total = () => Number(/** @type {HTMLElement | null} */ (document.querySelector('#submissions'))?.dataset.total);

  function show() {
    const [all, chosen] = [boxes(), selected()];
    const selectAll = /** @type {HTMLInputElement | null} */ (document.querySelector('#select-all'));
    if (selectAll) {
      selectAll.checked = chosen.length === all.length;
      selectAll.indeterminate = chosen.length > 0 && chosen.length < all.length;
    }
    isAllMatching &&= chosen.length > 0 && chosen.length === all.length;
    bar.hidden = chosen.length === 0;
    count.textContent = isAllMatching
      ? filled(bar.dataset.allSelected, { count: total() })
      : filled(bar.dataset.selected, { count: chosen.length });
    selectMatching.hidden = isAllMatching || chosen.length < all.length || total() <= all.length;
    selectMatching.textContent = filled(bar.dataset.selectAll, { count: total() });
  }

  /** @param {boolean} isChecked */
  function checkAll(isChecked) {
    for (const box of boxes()) {
      box.checked = isChecked;
    }
    isAllMatching = false;
    show();
  }

  /** @param {HTMLButtonElement} button */
  async function act(button) {
    const { bulk = '', statuses = '', defaultStatuses, title, text, danger } = button.dataset;
    const path = `/api/admin/submissions/${bulk}`;
    const { status: wanted, ...others } = isAllMatching ? filtersOfPage() : { status: undefined };
    const filter = isAllMatching ? others : { ids: selected().map((box) => box.value) };
    // As in the API, an action on everything does not include submissions with a result.
    const byDefault = (isAllMatching && defaultStatuses) || statuses;
    const possible = wanted ? statuses.split(',').filter((it) => wanted.includes(it)) : byDefault.split(',');
    const found = await preview(path, filter, possible, bar.dataset.previewReason);
    const matched = found.reduce((sum, it) => sum + it.matched, 0);
    if (matched === 0) {
      showToast(bar.dataset.nothing ?? '');
      refresh();
      return;
    }
    const states = found.map((it) => `${statusName(it.status)}: ${number.format(it.matched)}`).join(', ');
    const question = {
      title: filled(title, { count: matched }),
      text: filled(text, { states }),
      action: button.textContent ?? '',
      danger: danger !== undefined,
      reason: /** @type {const} */ ('required'),
    };
    const outcome = await confirm(question, (reason) => {
      const exact = { ...filter, status: found.map((it) => it.status) };
      return carryOut(path, exact, reason, matched, (changed) => {
        const progress = filled(bar.dataset.progress, { count: changed, expected: matched });
        /** @type {HTMLElement} */ (document.querySelector('#confirm-text')).textContent = progress;
      });
    });
    if (outcome) {
      const values = { count: outcome.result, expected: matched };
      showToast(filled(outcome.result < matched ? bar.dataset.partly : bar.dataset.done, values));
      checkAll(false);
    }
    // After a dismissed error, the rows show what somebody else has changed.
    refresh();
  }

  document.addEventListener('change', ({ target }) => {
    if (target instanceof HTMLInputElement && target.id === 'select-all') {
      checkAll(target.checked);
    } else if (target instanceof HTMLInputElement && target.matches('[data-select]')) {
      show();
    }
  });
  bar.querySelector('#clear-selection')?.addEventListener('click', () => checkAll(false));
  selectMatching.addEventListener('click', () => {
    isAllMatching = true;
    show();
  });
  bar.addEventListener('click', async ({ target }) => {
    const button = target instanceof Element && target.closest('[data-bulk]');
    if (!(button instanceof HTMLButtonElement) || button.getAttribute('aria-disabled') === 'true') {
      return;
    }
    button.setAttribute('aria-disabled', 'true');
    try {
      await act(button);
    } catch (error) {
      showToast(error.text ?? String(error));
    } finally {
      button.setAttribute('aria-disabled', 'false');
    }
  });
  // Browsers restore the boxes of a page that is opened again.
  addEventListener('pageshow', show);
  return { show, clear: () => checkAll(false), hasSelection: () => selected().length > 0 };
}
