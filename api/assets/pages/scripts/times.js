// Shows the page's `<time data-time>` elements in the reader's language and time zone, and updates them every minute.
// Without this script, they show the time in UTC.

// The region, which determines whether 15:42 is shown as 3:42 PM, is that of the browser.
const pageLanguage = document.documentElement.lang;
const language = navigator.languages.find((it) => it.split('-')[0] === pageLanguage) ?? pageLanguage;
const exactFormat = new Intl.DateTimeFormat(language, { dateStyle: 'long', timeStyle: 'short' });
const clockFormat = new Intl.DateTimeFormat(language, { timeStyle: 'short' });
const dayFormat = new Intl.DateTimeFormat(language, { day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit' });
const relativeFormat = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });

const MINUTE = 60_000;
const UNITS = [
  ['day', 24 * 60 * MINUTE],
  ['hour', 60 * MINUTE],
  ['minute', MINUTE],
];
/** Older times are shown as a date, because nobody counts back that many days. */
const MAX_RELATIVE = 7 * 24 * 60 * MINUTE;

/** @param {Date} at @param {Date} now */
function relative(at, now = new Date()) {
  const difference = at.getTime() - now.getTime();
  if (Math.abs(difference) > MAX_RELATIVE) {
    return exactFormat.format(at);
  }
  for (const [unit, length] of UNITS) {
    if (Math.abs(difference) >= length) {
      return relativeFormat.format(Math.trunc(difference / length), unit);
    }
  }
  return relativeFormat.format(0, 'second');
}

/** @param {Date} at @param {Date} now */
function clock(at, now = new Date()) {
  const isToday = at.toDateString() === now.toDateString();
  return (isToday ? clockFormat : dayFormat).format(at);
}

const texts = {
  relative: (at) => relative(at),
  clock: (at) => clock(at),
  exact: (at) => exactFormat.format(at),
};

/** @param {HTMLTimeElement} element */
function render(element) {
  const at = new Date(element.dateTime);
  const text = texts[element.dataset.time];
  if (!text || Number.isNaN(at.getTime())) {
    return;
  }
  const exact = exactFormat.format(at);
  const short = text(at);
  if (element.dataset.shown === short && element.title === exact) {
    return;
  }
  element.dataset.shown = short;
  element.title = exact;
  element.textContent = short;
  // Screen readers do not read a title reliably.
  if (short !== exact) {
    const hidden = document.createElement('span');
    hidden.className = 'visually-hidden';
    hidden.textContent = ` (${exact})`;
    element.append(hidden);
  }
}

/** Renders the times in `root`. Elements that already show the right text are not changed. */
function renderTimes(root = document) {
  root.querySelectorAll('time[data-time]').forEach(render);
}

renderTimes();
setInterval(() => renderTimes(), MINUTE);
// Times that a live update inserts are rendered before the browser paints them.
new MutationObserver(() => renderTimes()).observe(document.body, { childList: true, characterData: true, subtree: true });
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) {
    renderTimes();
  }
});
