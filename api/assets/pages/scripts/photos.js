// The list of chosen photos: chosen, dropped or taken with the camera, with previews and hints. The list is written back
// into the form's file input, so the form sends what the list shows.

import { photoHints } from './photo_hints.js';

/** Names longer than this are shortened in announcements. */
const MAX_SPOKEN_NAME = 40;

/** @param {string} text @param {Record<string, string | number>} values */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export class Photos {
  /** @type {{ file: File, item: HTMLElement }[]} */
  #photos = [];
  #field;
  #input;
  #list;
  #status;
  #maxBytes;
  #maxFiles;

  /** @param {HTMLElement} field @param {{ maxBytes: number, maxFiles: number }} limits */
  constructor(field, { maxBytes, maxFiles }) {
    this.#field = field;
    this.#input = field.querySelector('#images');
    this.#list = field.querySelector('#chosen');
    this.#status = field.querySelector('#photos-status');
    this.#maxBytes = maxBytes;
    this.#maxFiles = maxFiles;
    this.#enhance();
    // Firefox restores the chosen files when a page is reloaded.
    if (this.#input.files.length > 0) {
      this.#add(this.#input.files);
    }
  }

  #enhance() {
    const upload = this.#field.querySelector('#upload');
    const camera = this.#field.querySelector('#camera');
    this.#input.classList.add('visually-hidden');
    upload.querySelectorAll('[hidden]').forEach((element) => element.removeAttribute('hidden'));
    this.#input.addEventListener('change', () => this.#add(this.#input.files));
    camera.addEventListener('change', () => {
      this.#add(camera.files);
      camera.value = '';
    });
    this.#list.addEventListener('click', (event) => {
      const button = event.target.closest('button[data-action]');
      if (button) {
        this.#act(button.dataset.action, button.closest('li'));
      }
    });
    this.#acceptDrops(upload);
  }

  /** Photos may be dropped anywhere on the page. Otherwise the browser would open a photo that misses its place. */
  #acceptDrops(upload) {
    const mark = (isOver) => upload.classList.toggle('upload--over', isOver);
    const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
    document.addEventListener('dragover', (event) => {
      if (hasFiles(event)) {
        event.preventDefault();
        mark(true);
      }
    });
    document.addEventListener('dragleave', (event) => {
      if (!event.relatedTarget) {
        mark(false);
      }
    });
    document.addEventListener('drop', (event) => {
      if (hasFiles(event)) {
        event.preventDefault();
        mark(false);
        this.#add(event.dataTransfer.files);
      }
    });
  }

  /** @param {FileList} files */
  #add(files) {
    const isKnown = (file) => this.#photos.some(({ file: known }) =>
      known.name === file.name && known.size === file.size && known.lastModified === file.lastModified);
    for (const file of [...files].filter((file) => !isKnown(file))) {
      const item = this.#item(file);
      this.#photos.push({ file, item });
      this.#list.append(item);
    }
    this.#update();
    this.#announce(fill(this.#field.dataset.chosen, { count: this.#photos.length }));
  }

  /** @param {File} file */
  #item(file) {
    const template = this.#field.querySelector('#chosen-photo');
    const item = template.content.firstElementChild.cloneNode(true);
    item.querySelectorAll('[data-name]').forEach((element) => {
      element.textContent = file.name;
    });
    this.#preview(file, item);
    photoHints(file, this.#maxBytes).then((hints) => this.#showHints(item, hints));
    return item;
  }

  #preview(file, item) {
    const image = new Image();
    const url = URL.createObjectURL(file);
    image.className = 'chosen__preview';
    image.alt = '';
    image.addEventListener('load', () => item.querySelector('.chosen__preview').replaceWith(image));
    image.addEventListener('error', () => URL.revokeObjectURL(url));
    image.src = url;
  }

  #showHints(item, hints) {
    const list = item.querySelector('.chosen__hints');
    list.replaceChildren(...hints.map((hint) => {
      const element = document.createElement('li');
      element.textContent = this.#field.dataset[`hint${hint[0].toUpperCase()}${hint.slice(1)}`];
      return element;
    }));
    list.hidden = hints.length === 0;
    if (hints.length > 0 && item.isConnected) {
      this.#announce(`${spoken(item.dataset.fileName)}: ${list.textContent}`);
    }
  }

  /** @param {string} action @param {HTMLElement} item */
  #act(action, item) {
    const index = this.#photos.findIndex((photo) => photo.item === item);
    const [photo] = this.#photos.splice(index, 1);
    const name = spoken(photo.file.name);
    if (action === 'remove') {
      this.#remove(photo, index, name);
      return;
    }
    const target = action === 'up' ? index - 1 : index + 1;
    this.#photos.splice(target, 0, photo);
    this.#list.insertBefore(item, this.#list.children[action === 'up' ? target : target + 1] ?? null);
    this.#update();
    const button = item.querySelector(`[data-action="${action}"]`);
    (button.disabled ? item.querySelector('[data-action]:not([data-action="remove"]):not(:disabled)') : button).focus();
    this.#announce(fill(this.#field.dataset.moved, { name, number: target + 1 }));
  }

  #remove({ item }, index, name) {
    const preview = item.querySelector('img');
    if (preview) {
      URL.revokeObjectURL(preview.src);
    }
    item.remove();
    this.#update();
    const { removed, chosen } = this.#field.dataset;
    const count = fill(chosen, { count: this.#photos.length });
    // The focus moves to the next photo, or to the button that chooses photos.
    const next = this.#photos[Math.min(index, this.#photos.length - 1)];
    (next?.item.querySelector('[data-action="remove"]') ?? this.#input).focus();
    this.#announce(`${fill(removed, { name })} ${count}`);
  }

  /** Writes the list into the file input, and updates the numbers and buttons. */
  #update() {
    const transfer = new DataTransfer();
    this.#photos.forEach(({ file, item }, index) => {
      transfer.items.add(file);
      item.dataset.fileName = file.name;
      item.querySelector('.chosen__name').textContent = `${index + 1}. ${file.name}`;
      item.querySelector('[data-action="up"]').disabled = index === 0;
      item.querySelector('[data-action="down"]').disabled = index === this.#photos.length - 1;
    });
    this.#input.files = transfer.files;
    this.#list.hidden = this.#photos.length === 0;
    this.#showCount();
  }

  #showCount() {
    const hint = this.#field.querySelector('#count-hint');
    hint.hidden = this.#photos.length <= this.#maxFiles;
  }

  #announce(text) {
    this.#status.textContent = text;
  }
}

/** Shortens a long name in its middle, so that its extension remains. */
function spoken(name) {
  const half = MAX_SPOKEN_NAME / 2;
  return name.length <= MAX_SPOKEN_NAME ? name : `${name.slice(0, half)}…${name.slice(-half)}`;
}
