// Keeps the list fresh without touching what the reader types or where the page is scrolled to.
"use strict";

const EVERY = 2000;

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, then] = [fresh.getElementById("mails"), document.getElementById("mails")];
    if (now.innerHTML !== then.innerHTML) {
      then.replaceWith(now);
      document.title = fresh.title;
    }
  } catch {
    // The catcher is restarting; the next round will tell.
  }
}

document.getElementById("clear").addEventListener("click", async () => {
  if (!confirm("Delete all mails?")) return;
  await fetch("/api/mails", { method: "DELETE" });
  await refresh();
});

setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
