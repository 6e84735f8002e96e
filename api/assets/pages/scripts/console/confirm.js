// Asks for a confirmation before an action, in the `<dialog id="confirm">` of the console's layout. The dialog stays
// open until the action has succeeded, and shows its error.

import { ApiError } from './api.js';

/**
 * @typedef {object} Question
 * @property {string} title What will happen, as a question or an imperative.
 * @property {string} text The consequence.
 * @property {string} action The text of the button.
 * @property {boolean} [danger] Whether the action cannot be undone.
 * @property {'required' | 'optional'} [reason] Whether to ask for a reason.
 */

/**
 * Shows the dialog and performs the action once it is confirmed.
 *
 * @template T
 * @param {Question} question
 * @param {(reason: string) => Promise<T>} perform
 * @returns {Promise<{ result: T } | null>} `null` if the dialog was dismissed
 */
export function confirm(question, perform) {
  const dialog = /** @type {HTMLDialogElement} */ (element('confirm'));
  const form = /** @type {HTMLFormElement} */ (element('confirm-form'));
  const reason = /** @type {HTMLTextAreaElement} */ (element('confirm-reason'));
  show(question, reason);
  return new Promise((resolve) => {
    const end = new AbortController();
    const { signal } = end;
    /** @type {{ result: T } | null} */
    let outcome = null;
    let isBusy = false;
    const submit = async () => {
      if (isBusy || !checkReason(question, reason)) {
        return;
      }
      isBusy = true;
      setBusy(true);
      try {
        outcome = { result: await perform(reason.value.trim()) };
        dialog.close();
      } catch (error) {
        showError(error);
      } finally {
        isBusy = false;
        setBusy(false);
      }
    };
    form.addEventListener(
      'submit',
      (event) => {
        event.preventDefault();
        submit();
      },
      { signal },
    );
    element('confirm-dismiss').addEventListener('click', () => isBusy || dialog.close(), { signal });
    // The Escape key must not hide the outcome of an action that is under way.
    dialog.addEventListener('cancel', (event) => isBusy && event.preventDefault(), { signal });
    dialog.addEventListener(
      'close',
      () => {
        end.abort();
        resolve(outcome);
      },
      { signal },
    );
    dialog.showModal();
    (question.reason ? reason : element('confirm-dismiss')).focus();
  });
}

/** Reads a question from the `data-confirm-*` attributes of a button. @param {HTMLElement} button @returns {Question} */
export function questionOf({ dataset }) {
  return {
    title: dataset.confirmTitle ?? '',
    text: dataset.confirmText ?? '',
    action: dataset.confirmAction ?? '',
    danger: dataset.confirmDanger !== undefined,
    reason: /** @type {Question['reason']} */ (dataset.confirmReason),
  };
}

/** @param {string} id @returns {HTMLElement} */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** @param {Question} question @param {HTMLTextAreaElement} reason */
function show(question, reason) {
  element('confirm-title').textContent = question.title;
  element('confirm-text').textContent = question.text;
  const button = element('confirm-action');
  button.textContent = question.action;
  button.classList.toggle('button--danger', Boolean(question.danger));
  button.classList.toggle('button--primary', !question.danger);
  element('confirm-reason-field').hidden = !question.reason;
  reason.required = question.reason === 'required';
  reason.value = '';
  setReasonError(reason, '');
  element('confirm-error').hidden = true;
}

/** @param {Question} question @param {HTMLTextAreaElement} reason */
function checkReason(question, reason) {
  const isMissing = question.reason === 'required' && reason.value.trim() === '';
  const text = isMissing ? new ApiError(400, { error: { code: 'reason_required' } }, undefined).text : '';
  setReasonError(reason, text);
  if (isMissing) {
    reason.focus();
  }
  return !isMissing;
}

/** @param {HTMLTextAreaElement} reason @param {string} text */
function setReasonError(reason, text) {
  element('confirm-reason-field').classList.toggle('field--invalid', text !== '');
  element('confirm-reason-error').textContent = text;
  reason.setAttribute('aria-invalid', String(text !== ''));
}

/** @param {boolean} isBusy */
function setBusy(isBusy) {
  for (const id of ['confirm-action', 'confirm-dismiss']) {
    element(id).setAttribute('aria-disabled', String(isBusy));
  }
}

/** @param {unknown} error */
function showError(error) {
  if (!(error instanceof ApiError)) {
    throw error;
  }
  const [detail] = error.details;
  element('confirm-error-text').textContent = detail ? ApiError.fieldText(detail) : error.text;
  element('confirm-error').hidden = false;
}
