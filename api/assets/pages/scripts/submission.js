// Follows a submission on its page until it ends, and shows whether the page is up to date. Without this script, the
// browser reloads the page.

import { follow } from './follow.js';
import { LivePage } from './live.js';

const connection = document.querySelector('#connection');
const announcement = document.querySelector('#announcement');
const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: 'short' });
const openedAt = new Date();
const page = new LivePage({ onUpdate: updated });
let announced = announcedText();

function region() {
  return document.querySelector('#submission');
}

function announcedText() {
  const texts = [...document.querySelectorAll('[data-announce]')].map((element) => element.textContent.trim());
  return texts.join('. ');
}

function updated() {
  const text = announcedText();
  if (text !== announced) {
    announcement.textContent = text;
    announced = text;
  }
  showPrintButton();
}

function showPrintButton() {
  const print = document.querySelector('#print');
  if (print) {
    print.hidden = false;
    print.onclick = () => window.print();
  }
}

/** @param {import('./follow.d.ts').FollowState} state */
function showState(state) {
  if (state.name === 'ended') {
    connection.hidden = true;
    page.refresh();
  } else if (state.name === 'live' || state.name === 'reconnecting') {
    const text = state.name === 'live' || navigator.onLine ? state.name : 'offline';
    const time = clock.format(state.updatedAt ?? openedAt);
    connection.textContent = connection.dataset[`${text}Text`].replace('{time}', time);
    connection.classList.toggle('connection--live', state.name === 'live');
    connection.hidden = false;
  }
}

/** The place in the queue, and the status of the e-mail, change without an event. */
function refreshRegularly() {
  const seconds = region().dataset.refresh;
  if (seconds) {
    setTimeout(() => {
      if (!document.hidden) {
        page.refresh();
      }
      refreshRegularly();
    }, seconds * 1_000);
  }
}

const { events, lastEvent } = region().dataset;
if (events) {
  follow(events, { lastEventId: lastEvent, onEvent: () => page.refresh(), onState: showState });
}
refreshRegularly();
showPrintButton();
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && region().dataset.refresh) {
    page.refresh();
  }
});
