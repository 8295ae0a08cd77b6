// Where several versions of these pages lie side by side (docs/publish.py), the sidebar offers them.
const pages = new URL(document.documentElement.dataset.content_root, location.href);
const site = new URL("..", pages);

async function offerVersions() {
  const place = pages.pathname.split("/").at(-2);
  if (!/^(main|\d+(\.\d+)*)$/.test(place)) return; // built at home: there are no others
  const answer = await fetch(new URL("versions.json", site)).catch(() => null);
  if (!answer?.ok) return;
  const choice = document.querySelector(".version-note select");
  for (const version of await answer.json()) {
    choice.add(new Option(version === "main" ? "main (in development)" : version, version, false, version === place));
  }
  choice.parentElement.hidden = false;
  choice.addEventListener("change", async () => {
    const start = new URL(`${choice.value}/`, site);
    const same = new URL(location.pathname.slice(pages.pathname.length), start);
    const found = await fetch(same, { method: "HEAD" }).catch(() => null);
    location.href = found?.ok ? same : start;
  });
}

addEventListener("DOMContentLoaded", offerVersions);
