// The sign-in page. Browsers do not send the session cookie when another site links to a page (SameSite=Strict), and
// access tokens expire, so this page first tries to continue the session.

import { refreshSession, send } from './api.js';
import { onSubmit } from './form.js';

const form = /** @type {HTMLFormElement} */ (document.querySelector('#sign-in'));

/** Opens the page that the person wanted to open, or else the first page of the console that the account may open. */
async function openConsole() {
  const { permissions } = await send('GET', '/api/v1/auth/validate');
  const start = permissions.includes('submissions:read') ? '/admin' : '/account';
  location.replace(form.dataset.return || start);
}

onSubmit(form, async ({ email, password }) => {
  await send('POST', '/api/v1/auth/login', { email, password, cookies: true });
  await openConsole();
});

// Without the cookie of a session, the API neither counts nor audits this request.
refreshSession()
  .then(openConsole)
  .catch(() => {
    form.hidden = false;
    form.querySelector('input')?.focus();
  });
