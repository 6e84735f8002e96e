import './actions.js';
import { call } from './api.js';
import { confirm, questionOf } from './confirm.js';
import { onSubmit } from './form.js';
import { reloadWithToast } from './toast.js';

const passwordForm = /** @type {HTMLFormElement} */ (document.querySelector('#password-form'));

onSubmit(passwordForm, async ({ current_password, new_password }) => {
  await call('POST', '/api/v1/auth/password', { current_password, new_password });
  // The change has ended the other sessions.
  reloadWithToast(passwordForm.dataset.done ?? '');
});

document.querySelector('#sign-out-everywhere')?.addEventListener('click', async ({ currentTarget }) => {
  const button = /** @type {HTMLElement} */ (currentTarget);
  const performed = await confirm(questionOf(button), async () => {
    await call('DELETE', '/api/v1/auth/sessions');
    await call('POST', '/api/v1/auth/logout');
  });
  if (performed) {
    location.assign('/login');
  }
});
