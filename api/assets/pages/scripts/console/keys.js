// Keyboard shortcuts of the list. They can be turned off, because speech input can trigger them by accident
// (WCAG 2.1.4).

const STORED = 'diagflow-keys-off';

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof Element && target.matches('textarea, select, input:not([type="checkbox"])');
}

function rows() {
  return /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#submissions tbody tr')]);
}

function currentRow() {
  return /** @type {HTMLElement | null} */ (document.activeElement?.closest('#submissions tbody tr') ?? null);
}

/** Moves the focus to the link of another row, which the Enter key opens. @param {1 | -1} step */
function move(step) {
  const all = rows();
  const current = currentRow();
  const next = current ? all[all.indexOf(current) + step] : all[step === 1 ? 0 : all.length - 1];
  const link = next?.querySelector('a');
  link?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

function toggle() {
  /** @type {HTMLElement | null | undefined} */ (currentRow()?.querySelector('[data-select]'))?.click();
}

export function prepareKeys() {
  const help = /** @type {HTMLDialogElement} */ (document.querySelector('#keys'));
  const enabled = /** @type {HTMLInputElement} */ (document.querySelector('#keys-enabled'));
  const hint = document.querySelector('#show-keys');
  const search = /** @type {HTMLInputElement | null} */ (document.querySelector('#email'));
  /** @type {Record<string, () => void>} */
  const actions = {
    '/': () => search?.select(),
    j: () => move(1),
    k: () => move(-1),
    x: toggle,
    '?': () => help.showModal(),
  };
  enabled.checked = localStorage.getItem(STORED) === null;
  enabled.addEventListener('change', () => {
    if (enabled.checked) {
      localStorage.removeItem(STORED);
    } else {
      localStorage.setItem(STORED, 'true');
    }
  });
  /** @type {HTMLElement} */ (hint?.parentElement).hidden = false;
  hint?.addEventListener('click', () => help.showModal());
  document.addEventListener('keydown', (event) => {
    const isOther = event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
    const action = Object.hasOwn(actions, event.key) ? actions[event.key] : undefined;
    if (!action || isOther || isTyping(event.target) || !enabled.checked || document.querySelector('dialog[open]')) {
      return;
    }
    event.preventDefault();
    action();
  });
}
