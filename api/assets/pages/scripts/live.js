// Updates the `data-live` regions of a page: requests the page again and changes only what is different, so the focus,
// the selection, open details and the scroll position stay. The server renders all HTML.

import { Idiomorph } from '../vendor/idiomorph.js';

/** Waits after failed requests, in milliseconds. The last one is repeated. */
const WAITS = [1_000, 2_000, 5_000, 10_000, 30_000];
/** The page is gone, or this browser no longer has access to it. */
const FINAL_STATUSES = [401, 403, 404, 410];

const callbacks = {
  // A time that has not changed keeps the text in the reader's time zone.
  beforeNodeMorphed: (old, updated) =>
    !(old instanceof HTMLTimeElement && updated instanceof HTMLTimeElement && old.dateTime === updated.dateTime),
  // The reader opens and closes details, and scripts show what only works with scripts.
  beforeAttributeUpdated: (name, element) =>
    !(name === 'open' && element.matches('details')) && !(name === 'hidden' && element.matches('[data-script]')),
};

export class LivePage {
  #onUpdate;
  #renew;
  #isRunning = false;
  #isStale = false;
  #failures = 0;
  #wake = () => {};

  /**
   * @param {{ onUpdate?: () => void, renew?: () => Promise<unknown> }} [options] `onUpdate` is called after each update.
   *   `renew` renews the session when the page redirects to the sign-in page.
   */
  constructor({ onUpdate, renew } = {}) {
    this.#onUpdate = onUpdate;
    this.#renew = renew;
    addEventListener('online', () => this.#wake());
    document.addEventListener('visibilitychange', () => this.#wake());
  }

  /** Updates the page, and tries again until it succeeds. Calls during an update lead to one more update. */
  async refresh() {
    this.#isStale = true;
    if (this.#isRunning) {
      return;
    }
    this.#isRunning = true;
    while (this.#isStale) {
      this.#isStale = false;
      if (await this.#update()) {
        this.#failures = 0;
      } else {
        this.#isStale = true;
        await this.#wait();
      }
    }
    this.#isRunning = false;
  }

  async #update() {
    let response, text;
    try {
      response = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' });
      text = await response.text();
    } catch {
      return false;
    }
    if (response.redirected && this.#failures === 0 && (await this.#isRenewed())) {
      return false;
    }
    if (FINAL_STATUSES.includes(response.status) || response.redirected) {
      location.reload();
      return true;
    }
    if (!response.ok) {
      return false;
    }
    const updated = new DOMParser().parseFromString(text, 'text/html');
    document.title = updated.title;
    for (const region of document.querySelectorAll('[data-live][id]')) {
      const replacement = updated.getElementById(region.id);
      if (replacement) {
        Idiomorph.morph(region, replacement, { morphStyle: 'outerHTML', callbacks });
      }
    }
    this.#onUpdate?.();
    return true;
  }

  async #isRenewed() {
    try {
      await this.#renew?.();
      return this.#renew !== undefined;
    } catch {
      return false;
    }
  }

  #wait() {
    const wait = WAITS[Math.min(this.#failures, WAITS.length - 1)];
    this.#failures += 1;
    return new Promise((resolve) => {
      // Clients that lost the connection at the same time must not all return at the same time.
      const timer = setTimeout(resolve, wait * (0.75 + Math.random() / 2));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
