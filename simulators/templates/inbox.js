// Updates the list without changing the filter or the scroll position.
"use strict";

const REFRESH_MS = 2000;

async function refresh() {
  if (document.hidden) return;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const [now, then] = [fresh.getElementById("mails"), document.getElementById("mails")];
    if (now.innerHTML !== then.innerHTML) {
      then.replaceWith(now);
      document.title = fresh.title;
    }
  } catch {
    // The mail catcher may be restarting. The next refresh tries again.
  }
}

document.getElementById("clear").addEventListener("click", async () => {
  if (!confirm("Delete all messages?")) return;
  await fetch("/api/mails", { method: "DELETE" });
  await refresh();
});

setInterval(refresh, REFRESH_MS);
document.addEventListener("visibilitychange", refresh);
