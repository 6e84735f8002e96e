// Sends a form to the API and shows its errors: in a summary at the top, and beside each field. A field is an element
// with `data-field`, the name of the API's field, which contains a control and `.field__error`.

import { ApiError, textOf } from './api.js';

const title = document.title;

/**
 * Calls `perform` when the form is submitted. A form is not sent twice at the same time.
 *
 * @param {HTMLFormElement} form
 * @param {(values: Record<string, string>) => Promise<void>} perform gets the values of the controls by their names
 */
export function onSubmit(form, perform) {
  let isBusy = false;
  form.noValidate = true;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (isBusy) {
      return;
    }
    isBusy = true;
    setBusy(form, true);
    try {
      await perform(/** @type {Record<string, string>} */ (Object.fromEntries(new FormData(form))));
      showErrors(form, []);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      showErrors(form, errorsOf(error));
    } finally {
      isBusy = false;
      setBusy(form, false);
    }
  });
}

/** @param {ApiError} error @returns {{ field: string, text: string }[]} */
function errorsOf(error) {
  if (error.details.length === 0) {
    return [{ field: '', text: error.text }];
  }
  return error.details.map((detail) => ({ field: detail.field, text: ApiError.fieldText(detail) }));
}

/** @param {HTMLFormElement} form @param {boolean} isBusy */
function setBusy(form, isBusy) {
  form.querySelector('button:not([type="button"])')?.setAttribute('aria-disabled', String(isBusy));
}

/** @param {HTMLFormElement} form @param {{ field: string, text: string }[]} errors */
function showErrors(form, errors) {
  form.querySelector('.error-summary')?.remove();
  for (const field of form.querySelectorAll('[data-field]')) {
    showFieldError(/** @type {HTMLElement} */ (field), errors);
  }
  document.title = errors.length > 0 ? (textOf('problem-title') ?? '{title}').replace('{title}', title) : title;
  if (errors.length > 0) {
    const summary = summaryOf(form, errors);
    form.prepend(summary);
    summary.focus();
  }
}

/** @param {HTMLElement} field @param {{ field: string, text: string }[]} errors */
function showFieldError(field, errors) {
  const own = errors.filter((error) => error.field === field.dataset.field);
  const control = controlOf(field);
  field.classList.toggle('field--invalid', own.length > 0);
  const shown = own.map(({ text }) => {
    const paragraph = document.createElement('p');
    const prefix = document.createElement('span');
    prefix.className = 'visually-hidden';
    prefix.textContent = `${textOf('problem-prefix')} `;
    paragraph.append(prefix, text);
    return paragraph;
  });
  field.querySelector('.field__error')?.replaceChildren(...shown);
  control?.toggleAttribute('aria-invalid', false);
  if (own.length > 0) {
    control?.setAttribute('aria-invalid', 'true');
  }
}

/** @param {Element} field @returns {HTMLElement | null} */
function controlOf(field) {
  return field.querySelector('input, select, textarea');
}

/** @param {HTMLFormElement} form @param {{ field: string, text: string }[]} errors */
function summaryOf(form, errors) {
  const summary = document.createElement('div');
  summary.className = 'error-summary';
  summary.tabIndex = -1;
  summary.setAttribute('role', 'alert');
  const heading = document.createElement('h2');
  heading.textContent = textOf('problem') ?? '';
  const list = document.createElement('ul');
  for (const { field, text } of errors) {
    const item = document.createElement('li');
    const control = field && form.querySelector(`[data-field="${CSS.escape(field)}"]`);
    item.append(control ? linkTo(controlOf(control), text) : text);
    list.append(item);
  }
  summary.append(heading, list);
  return summary;
}

/** @param {HTMLElement | null} control @param {string} text */
function linkTo(control, text) {
  const link = document.createElement('a');
  link.href = `#${control?.id}`;
  link.textContent = text;
  link.addEventListener('click', (event) => {
    event.preventDefault();
    control?.focus();
  });
  return link;
}
