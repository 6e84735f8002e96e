// Checks that `/docs` offers a file picker for the photos of a submission.

import { withBrowser } from "./browser.ts";
import { url } from "./checks.ts";

await withBrowser(async (browser) => {
  const page = await browser.newPage();
  await page.goto(`${url}/docs/`);
  const operation = page.locator(".opblock", { hasText: "/api/user/submit" });
  await operation.locator(".opblock-summary-control").click();
  await operation.locator(".try-out__btn").click();
  await operation.getByLabel("Request content type").selectOption("multipart/form-data");
  const images = operation.locator("tr", { hasText: "images" });
  await images.locator('input[type="file"]').first().waitFor({ timeout: 10_000 });
  console.log("/docs: file picker for images");
});
