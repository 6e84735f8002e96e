// Shows photos in a dialog: zoom with the buttons, `+`, `-`, the wheel or two fingers, rotate with `r`, move with the
// pointer, and change the photo with the arrow keys.

const MAX_SCALE = 8;
const STEP = 1.5;

const dialog = /** @type {HTMLDialogElement | null} */ (document.querySelector('#viewer'));
const stage = /** @type {HTMLElement} */ (dialog?.querySelector('.viewer__stage'));
const title = /** @type {HTMLElement} */ (dialog?.querySelector('#viewer-title'));
const photo = new Image();
photo.className = 'viewer__photo';
photo.draggable = false;

/** @type {HTMLAnchorElement[]} */
let photos = [];
let index = 0;
let view = { scale: 1, turns: 0, x: 0, y: 0 };
/** The pointers that touch the stage. @type {Map<number, { x: number, y: number }>} */
const pointers = new Map();

/** @param {HTMLAnchorElement[]} links the photos' links @param {HTMLAnchorElement} first */
export function openViewer(links, first) {
  photos = links;
  stage.replaceChildren(photo);
  show(links.indexOf(first));
  dialog?.showModal();
  stage.focus();
}

/** @param {number} number */
function show(number) {
  index = (number + photos.length) % photos.length;
  const alt = photos[index].querySelector('img')?.alt ?? '';
  photo.src = photos[index].href;
  photo.alt = alt;
  title.textContent = photos.length > 1 ? `${alt} / ${photos.length}` : alt;
  view = { scale: 1, turns: 0, x: 0, y: 0 };
  draw();
}

function draw() {
  const { scale, turns, x, y } = view;
  // A photo on its side must fit into the stage, too.
  const fit = turns % 2 === 0 ? 1 : Math.min(1, stage.clientHeight / photo.clientWidth || 1);
  photo.style.transform = `translate(${x}px, ${y}px) rotate(${turns * 90}deg) scale(${scale * fit})`;
}

/** @param {number} factor */
function zoom(factor) {
  view.scale = Math.min(MAX_SCALE, Math.max(1, view.scale * factor));
  if (view.scale === 1) {
    view.x = 0;
    view.y = 0;
  }
  draw();
}

/** @type {Record<string, () => void>} */
const actions = {
  previous: () => show(index - 1),
  next: () => show(index + 1),
  in: () => zoom(STEP),
  out: () => zoom(1 / STEP),
  rotate: () => {
    view.turns += 1;
    draw();
  },
  close: () => dialog?.close(),
};

/** @type {Record<string, string>} */
const keys = { ArrowLeft: 'previous', ArrowRight: 'next', '+': 'in', '=': 'in', '-': 'out', r: 'rotate' };

dialog?.addEventListener('click', ({ target }) => {
  const button = target instanceof Element && target.closest('[data-viewer]');
  if (button instanceof HTMLElement) {
    actions[button.dataset.viewer ?? '']?.();
  }
});

dialog?.addEventListener('keydown', (event) => {
  const action = keys[event.key];
  if (action && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    actions[action]();
  }
});

stage?.addEventListener(
  'wheel',
  (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400));
  },
  { passive: false },
);

stage?.addEventListener('dblclick', () => zoom(view.scale > 1 ? 0 : 2 * STEP));

stage?.addEventListener('pointerdown', (event) => {
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
});

for (const name of /** @type {const} */ (['pointerup', 'pointercancel'])) {
  stage?.addEventListener(name, ({ pointerId }) => pointers.delete(pointerId));
}

stage?.addEventListener('pointermove', (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) {
    return;
  }
  const now = { x: event.clientX, y: event.clientY };
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  pointers.set(event.pointerId, now);
  if (other) {
    zoom(distance(now, other) / Math.max(1, distance(before, other)));
  } else if (view.scale > 1) {
    view.x += now.x - before.x;
    view.y += now.y - before.y;
    draw();
  }
});

/** @param {{ x: number, y: number }} a @param {{ x: number, y: number }} b */
function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
