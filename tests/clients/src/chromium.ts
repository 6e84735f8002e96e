import { readFileSync } from "node:fs";
import { withBrowser } from "./browser.ts";
import { checkMessages, email, photoDataUrl, url, type Message } from "./checks.ts";

await withBrowser(async (browser) => {
  const page = await browser.newPage();
  // A page of the same origin, so that the browser sends the cookie of the submission.
  await page.goto(`${url}/health`);
  // The compiler would change a function in this file so that it cannot run in a browser.
  const follow = readFileSync(new URL("in-browser.js", import.meta.url), "utf8");
  const submission = { email, data: photoDataUrl };
  const messages: Message[] = await page.evaluate(`(${follow})(${JSON.stringify(submission)})`);
  checkMessages("EventSource of Chromium", messages);
});
