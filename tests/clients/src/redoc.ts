import { chromium } from "playwright-core";
import { url } from "./checks.ts";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
try {
  const page = await browser.newPage();
  const errors: string[] = [];
  // A violation of the content security policy is an error on the console.
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("request", (request) => {
    const isOwn = request.url().startsWith(url) || request.url().startsWith("data:");
    if (!isOwn) errors.push(`request to ${request.url()}`);
  });
  await page.goto(`${url}/redoc`);
  await page.getByRole("heading", { name: "Follow a submission" }).waitFor();
  if (errors.length > 0) throw new Error(`/redoc: ${errors.join("; ")}`);
  console.log("Redoc in Chromium displays the API reference.");
} finally {
  await browser.close();
}
