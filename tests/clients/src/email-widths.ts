// Renders e-mails at the widths of phones and of a desktop mail program, in light and dark mode. Fails if an e-mail is
// wider than the screen. The screenshots remain in `generated/emails`.

import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { withBrowser } from "./browser.ts";

const folder = process.env.EMAILS;
if (!folder) throw new Error("EMAILS is not set: it is a folder with the HTML of e-mails");
const files = readdirSync(folder).filter((file) => file.endsWith(".html"));
if (files.length === 0) throw new Error(`no e-mails in ${folder}`);
mkdirSync("generated/emails", { recursive: true });

/** The elements whose content or box is wider than the screen, and the background of the page. */
const measure = `(() => {
  const width = document.documentElement.clientWidth;
  const isWide = (element) =>
    element.scrollWidth > Math.max(element.clientWidth, 1) && getComputedStyle(element).display !== "inline" ||
    element.getBoundingClientRect().right > width + 0.5 || element.getBoundingClientRect().left < -0.5;
  const elements = [document.documentElement, ...document.body.querySelectorAll("*")];
  const wide = elements.filter(isWide).map((element) => element.tagName + ": " + element.innerText.slice(0, 60));
  return { wide, background: getComputedStyle(document.body).backgroundColor };
})()`;

const failures: string[] = [];
await withBrowser(async (browser) => {
  for (const file of files) {
    const html = readFileSync(join(folder, file), "utf8");
    for (const width of [360, 390, 600]) {
      const backgrounds = new Set<string>();
      for (const colorScheme of ["light", "dark"] as const) {
        const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
        await page.setContent(html);
        const found: { wide: string[]; background: string } = await page.evaluate(measure);
        const name = `${basename(file, ".html")}-${width}-${colorScheme}`;
        await page.screenshot({ path: `generated/emails/${name}.png`, fullPage: true });
        failures.push(...found.wide.map((element) => `${name}: ${element} is too wide`));
        backgrounds.add(found.background);
        await page.close();
      }
      if (backgrounds.size !== 2) failures.push(`${file}: dark mode does not change the background`);
    }
  }
});
if (failures.length > 0) throw new Error(failures.join("\n"));
console.log(`E-mails: ${files.join(", ")} fit the screen`);
