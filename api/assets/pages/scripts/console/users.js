import './actions.js';
import { call } from './api.js';
import { onSubmit } from './form.js';
import { reloadWithToast, showToast } from './toast.js';

/** @param {string} id @param {(form: HTMLFormElement) => void} prepare */
function forForm(id, prepare) {
  const form = document.querySelector(`form#${id}`);
  if (form instanceof HTMLFormElement) {
    prepare(form);
  }
}

/** Explains the chosen role, and hides the password of service accounts. @param {HTMLFormElement} form */
function followRole(form) {
  const role = /** @type {HTMLSelectElement} */ (form.elements.namedItem('role'));
  const meaning = /** @type {HTMLElement} */ (form.querySelector('#role-meaning'));
  const password = /** @type {HTMLElement} */ (form.querySelector('[data-not-for-services]'));
  const follow = () => {
    meaning.textContent = role.selectedOptions[0]?.dataset.meaning ?? '';
    password.hidden = role.value === 'service';
    if (password.hidden) {
      /** @type {HTMLInputElement} */ (form.elements.namedItem('password')).value = '';
    }
  };
  role.addEventListener('change', follow);
  follow();
}

forForm('new-user', (form) => {
  followRole(form);
  onSubmit(form, async ({ name, email, role, password }) => {
    const { user } = await call('POST', '/api/v1/users', { name, email, role, password: password || undefined });
    reloadWithToast(form.dataset.done ?? '', `/admin/users/${user.id}`);
  });
});

forForm('edit-user', (form) => {
  followRole(form);
  const before = Object.fromEntries(new FormData(form));
  onSubmit(form, async (values) => {
    const changes = Object.entries(values).filter(([name, value]) => value !== before[name]);
    if (changes.length === 0) {
      showToast(form.dataset.unchanged ?? '');
      return;
    }
    await call('PUT', form.dataset.path ?? '', Object.fromEntries(changes));
    reloadWithToast(form.dataset.done ?? '');
  });
});

forForm('new-key', (form) => {
  onSubmit(form, async ({ name, expires_at }) => {
    // The key is valid until the end of the chosen day.
    const expires = expires_at ? new Date(`${expires_at}T23:59:59`).toISOString() : undefined;
    const { api_key } = await call('POST', form.dataset.path ?? '', { name, expires_at: expires });
    showKey(api_key);
  });
});

/** @param {string} key */
function showKey(key) {
  const dialog = /** @type {HTMLDialogElement} */ (document.querySelector('#created-key'));
  const value = /** @type {HTMLElement} */ (dialog.querySelector('#created-key-value'));
  const copy = /** @type {HTMLElement} */ (dialog.querySelector('#created-key-copy'));
  value.textContent = key;
  copy.addEventListener('click', async () => {
    await navigator.clipboard.writeText(key).then(
      () => {
        copy.textContent = copy.dataset.copied ?? '';
      },
      // Without permission for the clipboard, the key can be copied by hand.
      () => getSelection()?.selectAllChildren(value),
    );
  });
  dialog.querySelector('#created-key-done')?.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => location.reload());
  dialog.showModal();
}
