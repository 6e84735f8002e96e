import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { checkMessages, email, photoDataUrl, url, type Message } from "./checks.ts";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
try {
  const page = await browser.newPage();
  // A page of the same origin, so that the browser sends the cookie of the submission.
  await page.goto(`${url}/health`);
  // The compiler would change a function in this file so that it cannot run in a browser.
  const follow = readFileSync(new URL("in-browser.js", import.meta.url), "utf8");
  const submission = { email, data: photoDataUrl };
  const messages: Message[] = await page.evaluate(`(${follow})(${JSON.stringify(submission)})`);
  checkMessages("EventSource of Chromium", messages);
} finally {
  await browser.close();
}
