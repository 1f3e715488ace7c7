// The console's only script. Without it everything works but live updates and keys.

const RELATIVE_MS = 10_000;
const SWAP_MS = 800;
const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];

// --- times -------------------------------------------------------------------------------------

function span(seconds) {
  const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? UNITS.at(-1);
  const number = seconds / size;
  if (number >= 10 || unit === "s") return `${Math.round(number)} ${unit}`;
  return `${number.toFixed(1).replace(/\.0$/, "")} ${unit}`;
}

function tellTimes() {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const left = (Date.parse(time.dateTime) - Date.now()) / 1000;
    time.textContent = left >= 1 ? `in ${span(left)}` : left <= -1 ? `${span(-left)} ago` : "now";
  }
}

// --- live: the stream says that something changed, the page fetches itself and swaps its parts --

let source = null;
let swapping = false;
let again = false;

function showPulse(on) {
  const pulse = document.querySelector("[data-pulse]");
  if (!pulse || (!pulse.hidden && pulse.classList.contains("on") === on)) return;
  pulse.hidden = false; // a page that has nothing live shows none
  pulse.classList.toggle("on", on);
  pulse.title = on ? "Live" : "Not live";
  pulse.querySelector(".sr").textContent = on ? "Live updates are on" : "Live updates are off";
}

function connect() {
  const address = document.body.dataset.live;
  if (!address || source || document.hidden || !document.querySelector("[data-fresh]")) return;
  source = new EventSource(address);
  let first = true;
  source.addEventListener("open", () => showPulse(true));
  source.addEventListener("error", () => showPulse(false));
  source.addEventListener("change", () => {
    if (!first) refresh();
    first = false;
  });
}

function disconnect() {
  if (!source) return;
  source.close();
  source = null;
  showPulse(false);
}

async function refresh() {
  if (swapping) {
    again = true;
    return;
  }
  swapping = true;
  try {
    // A page that came from a form cannot be asked for again.
    const answer = await fetch(document.body.dataset.from ?? location.href, { headers: { "X-Live": "1" } });
    if (answer.ok && !answer.redirected) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    showPulse(false);
  }
  await new Promise((done) => setTimeout(done, SWAP_MS));
  swapping = false;
  if (again) {
    again = false;
    refresh();
  }
}

function swap(fresh) {
  for (const part of document.querySelectorAll("[data-fresh]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.innerHTML === part.innerHTML || isBusy(part)) continue;
    const kept = remember(part);
    part.replaceChildren(...next.childNodes);
    restore(part, kept);
    addCopyButtons(part);
  }
  tellTimes();
  addChooseAll();
  countChosen();
}

// Somebody types, has a menu open, or selects text: leave it alone this time.
function isBusy(part) {
  const active = document.activeElement;
  if (part.contains(active) && active.matches("input:not([type=checkbox]), textarea, select")) return true;
  if (part.querySelector(".confirm[open]")) return true;
  const selection = getSelection();
  return !selection.isCollapsed && part.contains(selection.anchorNode);
}

function remember(part) {
  const active = document.activeElement;
  return {
    chosen: new Set([...part.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value)),
    open: new Set([...part.querySelectorAll("details[data-keep][open]")].map((each) => each.dataset.keep)),
    row: part.querySelector("tr.at-hand a")?.getAttribute("href"),
    focus: part.contains(active) ? active.getAttribute("href") : null,
  };
}

function restore(part, kept) {
  for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = kept.chosen.has(box.value);
  for (const each of part.querySelectorAll("details[data-keep]")) each.open = kept.open.has(each.dataset.keep);
  for (const link of part.querySelectorAll("tr[data-row] a")) {
    if (kept.row && link.getAttribute("href") === kept.row) link.closest("tr").classList.add("at-hand");
    if (kept.focus && link.getAttribute("href") === kept.focus) link.focus({ preventScroll: true });
  }
}

// --- keys --------------------------------------------------------------------------------------

const rows = () => [...document.querySelectorAll("tr[data-row]")];
const rowAtHand = () => document.querySelector("tr.at-hand");

function step(by) {
  const all = rows();
  if (!all.length) return;
  const before = all.indexOf(rowAtHand());
  const now = before < 0 ? (by > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, before + by));
  all[before]?.classList.remove("at-hand");
  all[now].classList.add("at-hand");
  all[now].querySelector("a, button, input")?.focus({ preventScroll: true });
  all[now].scrollIntoView({ block: "nearest" });
}

function choose() {
  const box = rowAtHand()?.querySelector("input[type=checkbox]");
  if (box) {
    box.checked = !box.checked;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

function replay() {
  const chosen = document.querySelector("tr[data-row] input[type=checkbox]:checked");
  const offered = rowAtHand()?.querySelector("[data-replay]");
  if (offered && !chosen) offered.click();
  else document.querySelector('[data-key="r"]')?.click();
}

const KEYS = {
  "/": () => document.querySelector('[data-key="/"]')?.focus(),
  j: () => step(1),
  k: () => step(-1),
  x: choose,
  r: replay,
  "?": () => document.getElementById("keys")?.showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input:not([type=checkbox], [type=radio]), textarea, select");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

// --- small things ------------------------------------------------------------------------------

function addChooseAll() {
  const place = document.querySelector("[data-choose-all]");
  if (!place || place.querySelector("input")) return;
  const box = document.createElement("input");
  box.type = "checkbox";
  box.addEventListener("change", () => {
    for (const each of document.querySelectorAll("tr[data-row] input[type=checkbox]")) each.checked = box.checked;
  });
  const text = document.createElement("span");
  text.textContent = "Choose all on this page";
  const label = document.createElement("label");
  label.className = "all";
  label.append(box, text);
  place.replaceChildren(label);
}

function countChosen() {
  const boxes = [...document.querySelectorAll("tr[data-row] input[type=checkbox]")];
  const all = document.querySelector("[data-choose-all] input");
  if (all) {
    all.checked = boxes.length > 0 && boxes.every((box) => box.checked);
    all.indeterminate = !all.checked && boxes.some((box) => box.checked);
  }
  const count = new Set([...document.querySelectorAll("tr[data-row] input[type=checkbox]:checked")].map((box) => box.value)).size;
  for (const button of document.querySelectorAll("[data-chosen]")) {
    button.disabled = count === 0;
    button.textContent = count ? `Replay ${count} chosen…` : "Replay the chosen…";
  }
}

function addCopyButtons(part) {
  for (const block of part.querySelectorAll("pre[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.querySelector("code").textContent);
      button.textContent = "Copied";
    });
    block.append(button);
  }
}

function closeOthers(event) {
  for (const menu of document.querySelectorAll(".who[open], .confirm[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
}

document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : (connect(), refresh())));
addEventListener("pagehide", disconnect);
addEventListener("pageshow", connect);
document.addEventListener("keydown", onKey);
document.addEventListener("change", countChosen);
document.addEventListener("click", closeOthers);
setInterval(tellTimes, RELATIVE_MS);
addCopyButtons(document);
addChooseAll();
countChosen();
// On a phone the navigation is a strip that may hide where one is.
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
