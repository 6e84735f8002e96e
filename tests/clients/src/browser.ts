import { chromium, type Browser } from "playwright-core";

/** Starts Chromium, and stops it when the work is done. */
export async function withBrowser(work: (browser: Browser) => Promise<void>) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  try {
    await work(browser);
  } finally {
    await browser.close();
  }
}
