// Filters that somebody has saved under a name, in this browser.

const STORED = 'diagflow-filters';
/** Parameters that belong to a moment rather than to a filter, and texts that can be personal data. */
const NOT_SAVED = ['page', 'cursor', 'email', 'comments'];

/** @typedef {{ name: string, query: string }} SavedFilter */

/** @returns {SavedFilter[]} */
function read() {
  try {
    const saved = JSON.parse(localStorage.getItem(STORED) ?? '[]');
    return Array.isArray(saved) ? saved : [];
  } catch {
    return [];
  }
}

/** @param {SavedFilter[]} filters */
function write(filters) {
  localStorage.setItem(STORED, JSON.stringify(filters));
}

function currentQuery() {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of [...parameters]) {
    if (value === '' || NOT_SAVED.includes(name)) {
      parameters.delete(name);
    }
  }
  return parameters.toString();
}

export function prepareSavedFilters() {
  const menu = /** @type {HTMLDetailsElement} */ (document.querySelector('#saved-filters'));
  const list = /** @type {HTMLElement} */ (menu.querySelector('#saved-list'));
  const none = /** @type {HTMLElement} */ (menu.querySelector('#saved-none'));
  const name = /** @type {HTMLInputElement} */ (menu.querySelector('#saved-name'));
  const add = /** @type {HTMLButtonElement} */ (menu.querySelector('#saved-add'));

  /** @param {SavedFilter} filter */
  function item(filter) {
    const row = document.createElement('li');
    const link = document.createElement('a');
    link.href = filter.query ? `/admin?${filter.query}` : '/admin';
    link.textContent = filter.name;
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.textContent = menu.dataset.removeText ?? '';
    remove.setAttribute('aria-label', `${menu.dataset.removeText} ${filter.name}`);
    remove.addEventListener('click', () => {
      write(read().filter((it) => it.name !== filter.name));
      show();
      name.focus();
    });
    row.append(link, remove);
    return row;
  }

  function show() {
    const filters = read();
    none.hidden = filters.length > 0;
    list.replaceChildren(...filters.map(item));
  }

  function save() {
    const chosen = name.value.trim();
    if (chosen === '') {
      name.focus();
      return;
    }
    // A filter with the same name is replaced.
    const others = read().filter((it) => it.name !== chosen);
    write([...others, { name: chosen, query: currentQuery() }]);
    name.value = '';
    show();
  }

  add.addEventListener('click', save);
  name.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') {
      event.preventDefault();
      save();
    }
  });
  menu.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && menu.open) {
      menu.open = false;
      menu.querySelector('summary')?.focus();
    }
  });
  menu.hidden = false;
  show();
}
