"use strict";
// The tables, curves and facts are in the page already; here they are filtered and sorted, and the
// details of a number are shown.

const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Filters -----------------------------------------------------------------------------------------

const filters = byId("filters");

function applyFilters() {
  const chosen = new FormData(filters);
  const methods = new Set(chosen.getAll("method"));
  const differs = (value, wanted) => value !== undefined && wanted !== "" && value !== wanted;
  for (const part of all("[data-testset], [data-method]")) {
    const { testset, protocol, method } = part.dataset;
    const hidden =
      differs(testset, chosen.get("testset")) ||
      differs(protocol, chosen.get("protocol")) ||
      (method !== undefined && !methods.has(method));
    part.toggleAttribute("hidden", hidden); // SVG elements have no property of that name
  }
}

// Tables ------------------------------------------------------------------------------------------

const originalRows = new Map(all(".result tbody").map((body) => [body, [...body.rows]]));

function sortBy(header) {
  const order = { best: "worst", worst: "none" }[header.dataset.order] ?? "best";
  const higher = header.dataset.better === "higher";
  for (const other of header.parentElement.cells) {
    delete other.dataset.order;
    other.removeAttribute("aria-sort");
  }
  const body = header.closest("table").tBodies[0];
  const rows = [...originalRows.get(body)];
  if (order !== "none") {
    const descending = higher === (order === "best");
    header.dataset.order = order;
    header.ariaSort = descending ? "descending" : "ascending";
    rows.sort(compareBy((row) => keyOf(row.cells[header.cellIndex]), descending));
  }
  body.append(...rows);
}

function keyOf(cell) {
  if (cell.dataset.value === undefined) return cell.textContent.trim();
  return cell.dataset.value === "" ? null : Number(cell.dataset.value);
}

// What has no value comes last, whichever way is up.
function compareBy(key, descending) {
  const sign = descending ? -1 : 1;
  return (one, other) => {
    const [a, b] = [key(one), key(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "string") return sign * a.localeCompare(b, undefined, { numeric: true });
    return a === b ? 0 : sign * (a < b ? -1 : 1);
  };
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function walk(event) {
  const cell = event.target.closest("td, th");
  const step = STEPS[event.key];
  if (!cell || !step) return;
  const rows = [...cell.closest("table").rows].filter((row) => !row.hidden);
  const row = rows[rows.indexOf(cell.parentElement) + step[0]];
  const next = row?.cells[cell.cellIndex + step[1]];
  if (!next) return;
  event.preventDefault();
  (next.querySelector("button, a") ?? next).focus();
}

// Details of a number -----------------------------------------------------------------------------

const tip = byId("tip");

function showTip(cell) {
  tip.replaceChildren(cell.querySelector(".details").cloneNode(true));
  tip.hidden = false;
  const box = cell.getBoundingClientRect();
  const middle = box.left + box.width / 2 - tip.offsetWidth / 2;
  const right = document.documentElement.clientWidth - tip.offsetWidth - 8;
  const below = box.bottom + 6;
  const fits = below + tip.offsetHeight < window.innerHeight;
  tip.style.left = `${Math.max(8, Math.min(middle, right))}px`;
  tip.style.top = `${fits ? below : box.top - tip.offsetHeight - 6}px`;
}

function hideTip() {
  tip.hidden = true;
}

// Everything is tied to the page here -------------------------------------------------------------

filters.addEventListener("change", applyFilters);
for (const table of all(".result table")) {
  table.addEventListener("keydown", walk);
  for (const button of all("thead button", table)) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }
  for (const kind of ["mouseover", "focusin"]) {
    table.addEventListener(kind, (event) => {
      const cell = event.target.closest("td");
      if (cell) showTip(cell);
      else hideTip();
    });
  }
  for (const kind of ["mouseleave", "focusout"]) table.addEventListener(kind, hideTip);
}
for (const kind of ["scroll", "resize"]) window.addEventListener(kind, hideTip, true);
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());

document.documentElement.classList.add("scripted");
applyFilters();
