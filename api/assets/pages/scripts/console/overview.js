// Draws the chart of the overview from the table beside it, updates the figures while the page is visible, and pauses
// and resumes parts of the service.

import uPlot from '../../vendor/uplot.js';
import { LivePage } from '../live.js';
import { call, refreshSession } from './api.js';
import { confirm, questionOf } from './confirm.js';
import { showToast } from './toast.js';

const REFRESH_MS = 15_000;
const HOUR = 3600;
const LEAST_MAXIMUM = 4;

const language = document.documentElement.lang;
const numbers = new Intl.NumberFormat(language);
const clock = new Intl.DateTimeFormat(language, { hour: 'numeric', minute: '2-digit' });
const day = new Intl.DateTimeFormat(language, { weekday: 'short', day: 'numeric', month: 'short' });
const hours = new Intl.DateTimeFormat(language, { weekday: 'short', hour: 'numeric', minute: '2-digit' });

/** @param {string} id @returns {HTMLElement} */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const plotElement = element('hours-chart');
const readout = element('hours-readout');
const details = /** @type {HTMLDetailsElement} */ (element('hours-numbers'));
const colourScheme = matchMedia('(prefers-color-scheme: dark)');

/** Returns the rows of the table, oldest first. @returns {HTMLTableRowElement[]} */
function rows() {
  return /** @type {HTMLTableRowElement[]} */ ([...document.querySelectorAll('#hours tbody tr')].reverse());
}

/** @returns {[number[], number[]]} the starts of the hours in seconds, and the number of submissions in each */
function chartData() {
  const starts = rows().map((row) => Date.parse(row.querySelector('time')?.dateTime ?? '') / 1000);
  return [starts, rows().map((row) => Number(row.dataset.count))];
}

/** @param {string} name the name of a design token */
function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** @param {number} seconds */
function isMidnight(seconds) {
  return new Date(seconds * 1000).getHours() === 0;
}

/** @param {number} seconds */
function axisText(seconds) {
  return (isMidnight(seconds) ? day : clock).format(seconds * 1000);
}

/** @returns {uPlot.Axis} */
function axis() {
  return {
    stroke: () => token('--text-muted'),
    font: `12px ${token('--font')}`,
    grid: { stroke: () => token('--border'), width: 1 },
    ticks: { show: false },
  };
}

/** Shows the numbers of the bar under the pointer. @param {uPlot} plot */
function showReadout({ cursor: { idx }, data: [starts, counts] }) {
  const isOverBar = idx !== null && idx !== undefined;
  const text = isOverBar && `${hours.formatRange(starts[idx] * 1000, (starts[idx] + HOUR) * 1000)}: ${numbers.format(counts[idx])}`;
  readout.textContent = text || '';
  plotElement.classList.toggle('chart__plot--linked', isOverBar && counts[idx] > 0);
}

/** Returns the index of the hour that contains a time. @param {uPlot} plot @param {number} seconds */
function hourAt(plot, seconds) {
  return Math.max(0, plot.data[0].findLastIndex((start) => start <= seconds));
}

function chartOptions() {
  return {
    width: plotElement.clientWidth,
    height: plotElement.clientHeight,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, dataIdx: (plot, _series, _nearest, seconds) => hourAt(plot, seconds) },
    scales: {
      x: { range: (plot) => [plot.data[0][0], plot.data[0].at(-1) + HOUR] },
      y: { range: (_plot, _minimum, maximum) => [0, Math.max(LEAST_MAXIMUM, maximum * 1.1)] },
    },
    axes: [
      { ...axis(), incrs: [3, 6, 12, 24].map((it) => it * HOUR), space: 72, size: 28, values: (_plot, splits) => splits.map(axisText) },
      { ...axis(), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000], space: 32, size: 48, values: (_plot, splits) => splits.map((it) => numbers.format(it)) },
    ],
    series: [
      {},
      { fill: () => token('--accent'), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 48], align: 1 }) },
    ],
    hooks: { setCursor: [showReadout] },
  };
}

function drawChart() {
  const plot = new uPlot(chartOptions(), chartData(), plotElement);
  details.open = false;
  details.dataset.ready = '';
  new ResizeObserver(() => {
    plot.setSize({ width: plotElement.clientWidth, height: plotElement.clientHeight });
  }).observe(plotElement);
  colourScheme.addEventListener('change', () => plot.redraw());
  plot.over.addEventListener('click', ({ offsetX }) => {
    rows()[hourAt(plot, plot.posToVal(offsetX, 'x'))].querySelector('a')?.click();
  });
  return plot;
}

const plot = drawChart();
const page = new LivePage({ onUpdate: () => plot.setData(chartData()), renew: refreshSession });

function refresh() {
  // A dialog names numbers that must not change while somebody reads it.
  if (!document.hidden && !document.querySelector('dialog[open]')) {
    page.refresh();
  }
}

setInterval(refresh, REFRESH_MS);
document.addEventListener('visibilitychange', refresh);

document.addEventListener('click', async ({ target }) => {
  const button = target instanceof Element && target.closest('[data-pause]');
  if (!(button instanceof HTMLElement)) {
    return;
  }
  const { pause, done = '', unchanged = '' } = button.dataset;
  const paused = button.dataset.paused === 'true';
  const outcome = await confirm(questionOf(button), (reason) => call('PUT', `/api/admin/pauses/${pause}`, { paused, reason }));
  if (outcome) {
    showToast(outcome.result.changed ? done : unchanged);
    await page.refresh();
  }
});
