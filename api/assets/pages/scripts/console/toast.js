// Shows the outcome of an action at the bottom of the page. Screen readers announce it.

const SHOWN_MS = 8000;
const STORED = 'diagflow-toast';

/** @param {string} text */
export function showToast(text) {
  const toast = document.createElement('p');
  toast.className = 'toast';
  toast.textContent = text;
  document.querySelector('#toasts')?.append(toast);
  setTimeout(() => toast.remove(), SHOWN_MS);
}

/** Reloads the page, or opens another one, and shows the text there. @param {string} text @param {string} [address] */
export function reloadWithToast(text, address) {
  sessionStorage.setItem(STORED, text);
  if (address) {
    location.assign(address);
  } else {
    location.reload();
  }
}

/** Shows the text that the previous page left. */
export function showStoredToast() {
  const text = sessionStorage.getItem(STORED);
  if (text) {
    sessionStorage.removeItem(STORED);
    showToast(text);
  }
}
