// What every page of the console does: the account menu, signing out, and the outcome of an action that left the page.

import { call } from './api.js';
import { showStoredToast, showToast } from './toast.js';

showStoredToast();

// On narrow screens, the navigation scrolls.
document.querySelector('.navigation [aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });

const menu = /** @type {HTMLDetailsElement | null} */ (document.querySelector('#account-menu'));
const summary = menu?.querySelector('summary');

document.addEventListener('click', (event) => {
  if (menu?.open && event.target instanceof Node && !menu.contains(event.target)) {
    menu.open = false;
  }
});

menu?.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && menu.open) {
    menu.open = false;
    summary?.focus();
  }
});

menu?.addEventListener('focusout', ({ relatedTarget }) => {
  if (relatedTarget instanceof Node && !menu.contains(relatedTarget)) {
    menu.open = false;
  }
});

document.querySelector('[data-action="sign-out"]')?.addEventListener('click', async () => {
  try {
    await call('POST', '/api/v1/auth/logout');
    location.assign('/login');
  } catch (error) {
    showToast(error.text ?? String(error));
  }
});
