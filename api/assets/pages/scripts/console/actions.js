// Buttons that send one request after a confirmation. Their attributes are `data-method`, `data-path`, `data-body`
// (JSON, optional), `data-done` (the text shown afterwards), and those of `questionOf`. The page is then loaded again.

import { call } from './api.js';
import { confirm, questionOf } from './confirm.js';
import { reloadWithToast } from './toast.js';

document.addEventListener('click', async ({ target }) => {
  const button = target instanceof Element && target.closest('[data-method][data-path]');
  if (!(button instanceof HTMLElement)) {
    return;
  }
  const { method = '', path = '', body, done = '' } = button.dataset;
  const performed = await confirm(questionOf(button), () => call(method, path, body ? JSON.parse(body) : undefined));
  if (performed) {
    reloadWithToast(done);
  }
});
