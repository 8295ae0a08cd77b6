// Where several versions of these pages lie side by side (docs/publish.py), the sidebar offers them.
const pages = new URL(document.documentElement.dataset.content_root, location.href);
const site = new URL("..", pages);

async function offerVersions() {
  const answer = await fetch(new URL("versions.json", site)).catch(() => null); // none beside pages built at home
  if (!answer?.ok) return;
  const own = pages.pathname.split("/").at(-2);
  const choice = document.querySelector(".version-note select");
  for (const version of await answer.json()) {
    choice.add(new Option(version === "main" ? "main (in development)" : version, version, false, version === own));
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
