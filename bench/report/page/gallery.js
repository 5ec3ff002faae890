"use strict";
// The gallery: made of the JSON in the page, one page of faces at a time. Text from outside never
// becomes markup: elements are made by `make`, whose children are text.

const PER_PAGE = 48;

const data = JSON.parse(byId("data").textContent);
const choices = byId("choices").elements;
const viewer = byId("viewer");
const gallery = { testset: null, faces: [], page: 0, face: null };

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const layerOf = (key) => gallery.testset.layers.find((layer) => layer.key === key);
const metricOf = () => gallery.testset.metrics[choices.metric.value];

function chooseTestset(index) {
  const testset = data[index];
  gallery.testset = testset;
  choices.testset.value = index;
  const runs = testset.layers.filter((layer) => layer.method);
  const truth = testset.layers.at(-1);
  for (const select of [choices.left, choices.right, byId("viewer-left"), byId("viewer-right")]) {
    select.replaceChildren(...testset.layers.map((layer) => new Option(layer.title, layer.key)));
  }
  const none = new Option("None", "");
  const others = testset.layers.map((layer) => new Option(layer.title, layer.key));
  byId("viewer-third").replaceChildren(none, ...others);
  const protocols = new Set(testset.metrics.map((metric) => metric.protocol));
  const title = (metric) =>
    protocols.size > 1 ? `${metric.title}, ${metric.protocol}` : metric.title;
  choices.metric.replaceChildren(
    ...testset.metrics.map((metric, place) => new Option(title(metric), place)),
  );
  const measured = testset.metrics.findIndex((metric) => Object.keys(metric.values).length > 0);
  choices.metric.value = Math.max(measured, 0);
  choices.left.value = runs.at(-1).key;
  choices.right.value = truth.method ? testset.layers[0].key : truth.key;
  arrange();
}

function valueOf(metric, key, face) {
  const value = metric?.values[key]?.[face] ?? null;
  return value === null ? null : Number(value);
}

function shown(metric, key, face) {
  const value = valueOf(metric, key, face);
  if (value === null) return "–";
  return Number.isFinite(value) ? value.toFixed(metric.digits) : value > 0 ? "∞" : "-∞";
}

// Puts the faces in order; what counts is how bad a face is, whichever way its metric points.
function arrange() {
  const metric = metricOf();
  const order = choices.order.value;
  const [left, right] = [choices.left.value, choices.right.value];
  const measured = (key) => metric?.values[key] !== undefined;
  const sign = metric?.higher ? -1 : 1;
  const badness = (key, face) => {
    const value = valueOf(metric, key, face);
    return value === null ? null : sign * value;
  };
  const single = measured(left) ? left : right;
  const behind = (face) => {
    const [a, b] = [badness(left, face), badness(right, face)];
    return a === null || b === null || a === b ? (a === null || b === null ? null : 0) : a - b;
  };
  const between = order === "loses" || order === "wins";
  const possible = between ? measured(left) && measured(right) : measured(single);
  gallery.faces = gallery.testset.images.map((_, face) => face);
  if (order !== "none" && possible) {
    const key = between ? behind : (face) => badness(single, face);
    gallery.faces.sort(compareBy(key, order === "worst" || order === "loses"));
  }
  gallery.page = 0;
  describe(order, possible, between, single);
  draw();
}

function describe(order, possible, between, single) {
  const count = gallery.faces.length;
  const faces = `${count.toLocaleString("en")} ${count === 1 ? "face" : "faces"}`;
  const metric = metricOf();
  const title = (key) => layerOf(key).title;
  let how = "in the order of the test set";
  if (order !== "none" && !possible) {
    const lacking = between ? "both sides" : "either side";
    how += `: there are no values of ${lacking} to sort by`;
  } else if (between) {
    const [ahead, behind] = [choices.right.value, choices.left.value];
    const ends = order === "loses" ? [behind, "behind", ahead] : [behind, "ahead of", ahead];
    how = `${title(ends[0])} most ${ends[1]} ${title(ends[2])} first, by ${metric.title}`;
  } else if (order !== "none") {
    how = `${order} ${metric.title} of ${title(single)} first`;
  }
  const pair = [choices.left.value, choices.right.value].map(title).join(" beside ");
  byId("status").textContent = `${faces}, ${pair}, ${how}.`;
}

function picture(layer, face, small) {
  const name = layer.pictures[face];
  if (name === null) return make("span", { className: "gap", title: "There is no picture." });
  const image = make("img", { alt: layer.title, decoding: "async", loading: "lazy" });
  image.src = sourceOf(layer, name, small);
  image.classList.toggle("input", layer.key === "lr");
  return image;
}

function sourceOf(layer, name, small) {
  return small && layer.thumbnails ? `thumbnails/${name}.jpg` : `pictures/${name}.png`;
}

function draw() {
  const first = gallery.page * PER_PAGE;
  const sides = [choices.left.value, choices.right.value].map(layerOf);
  const metric = metricOf();
  const cards = gallery.faces.slice(first, first + PER_PAGE).map((face) => {
    const id = gallery.testset.images[face];
    const pair = make("span", { className: "pair" }, ...sides.map((s) => picture(s, face, true)));
    const numbers = sides
      .filter((side) => metric?.values[side.key])
      .map((side) => make("span", {}, shown(metric, side.key, face)));
    const label = make("span", { className: "label" }, make("b", {}, id), ...numbers);
    const card = make("button", { type: "button" }, pair, label);
    const why = sides.map((side) => metric?.notes[side.key]?.[face]).find(Boolean);
    if (why) card.title = why;
    card.addEventListener("click", () => open(face));
    return make("li", {}, card);
  });
  byId("grid").replaceChildren(...cards);
  const pages = Math.ceil(gallery.faces.length / PER_PAGE);
  byId("pages").hidden = pages < 2;
  byId("page").textContent = `Page ${gallery.page + 1} of ${pages}`;
  for (const button of all("button", byId("pages"))) {
    const target = gallery.page + Number(button.dataset.step);
    button.disabled = target < 0 || target >= pages;
  }
}

function turn(step) {
  gallery.page += step;
  draw();
  byId("faces").scrollIntoView();
}

// Viewer: two pictures of one face, and a slider ----------------------------------------------------

function open(face) {
  gallery.face = face;
  const { images } = gallery.testset;
  const place = gallery.faces.indexOf(face);
  byId("face").textContent = images[face];
  byId("position").textContent = `${place + 1} of ${images.length}`;
  for (const button of all("[data-face]")) {
    button.disabled = gallery.faces[place + Number(button.dataset.face)] === undefined;
  }
  compare();
  if (!viewer.open) {
    viewer.showModal();
    byId("slider").focus();
  }
}

function compare() {
  const face = gallery.face;
  for (const side of ["left", "right"]) {
    byId(`viewer-${side}`).value = choices[side].value;
    show(side, layerOf(choices[side].value), face);
  }
  drawThird(face);
  drawStrip(face);
  drawValues(face);
  const link = new URLSearchParams({
    face: gallery.testset.images[face],
    set: gallery.testset.name,
    left: choices.left.value,
    right: choices.right.value,
  });
  history.replaceState(null, "", `#${link}`);
}

function drawThird(face) {
  const layer = layerOf(byId("viewer-third").value);
  byId("third").hidden = layer === undefined;
  if (layer !== undefined) show("third", layer, face);
}

function show(place, layer, face) {
  const name = layer.pictures[face];
  const image = byId(`${place}-picture`);
  byId(`${place}-name`).textContent = name === null ? `${layer.title}: no picture` : layer.title;
  image.alt = layer.title;
  image.hidden = name === null;
  image.classList.toggle("input", layer.key === "lr");
  if (name !== null) image.src = sourceOf(layer, name, false);
}

// All three pictures are enlarged about one point, that of the pointer when it moved last.
function zoom(factor) {
  byId("zoom").value = factor;
  for (const part of [byId("compare"), byId("third")]) {
    part.style.setProperty("--zoom", factor);
    part.classList.toggle("zoomed", Number(factor) > 1);
  }
}

function aim(event) {
  const box = byId("compare").getBoundingClientRect();
  const share = (value, size) => `${Math.min(100, Math.max(0, (100 * value) / size))}%`;
  for (const part of [byId("compare"), byId("third")]) {
    part.style.setProperty("--x", share(event.clientX - box.left, box.width));
    part.style.setProperty("--y", share(event.clientY - box.top, box.height));
  }
}

function drawStrip(face) {
  const metric = metricOf();
  const focused = document.activeElement?.closest("#strip button")?.dataset.key;
  const items = gallery.testset.layers.map((layer) => {
    const title = make("span", { className: "title" }, layer.title);
    const value = metric?.values[layer.key] ? shown(metric, layer.key, face) : "";
    const number = make("span", { className: "value" }, value);
    const button = make("button", { type: "button" }, picture(layer, face, true), title, number);
    button.dataset.key = layer.key;
    button.ariaPressed = layer.key === choices.right.value;
    button.addEventListener("click", () => pick("right", layer.key));
    return make("li", {}, button);
  });
  byId("strip").replaceChildren(...items);
  if (focused) all("#strip button").find((b) => b.dataset.key === focused)?.focus();
}

// All values of the face by the protocol that is sorted by; the best of each metric is marked.
function drawValues(face) {
  const protocol = metricOf()?.protocol;
  const metrics = gallery.testset.metrics.filter(
    (metric) => metric.protocol === protocol && Object.keys(metric.values).length > 0,
  );
  const head = metrics.map((metric) =>
    make("th", { scope: "col" }, `${metric.title} ${metric.higher ? "↑" : "↓"}`),
  );
  const layers = gallery.testset.layers.filter((layer) => layer.method);
  const best = metrics.map((metric) => {
    const values = layers.map((layer) => shown(metric, layer.key, face)).map(Number);
    const finite = values.filter(Number.isFinite);
    return (metric.higher ? Math.max : Math.min)(...finite);
  });
  const rows = layers.map((layer) => {
    const cells = metrics.map((metric, place) => {
      const text = shown(metric, layer.key, face);
      const mark = Number(text) === best[place] ? "best" : "";
      const title = metric.notes[layer.key]?.[face] ?? "";
      return make("td", { className: mark, title }, text);
    });
    const row = make("tr", {}, make("th", { scope: "row" }, layer.title), ...cells);
    const chosen = [choices.left.value, choices.right.value].includes(layer.key);
    row.classList.toggle("chosen", chosen);
    return row;
  });
  byId("values").replaceChildren(
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Method"), ...head)),
    make("tbody", {}, ...rows),
  );
}

function pick(side, key) {
  choices[side].value = key;
  arrange();
  open(gallery.face);
}

function swap() {
  [choices.left.value, choices.right.value] = [choices.right.value, choices.left.value];
  arrange();
  open(gallery.face);
}

function step(count) {
  const face = gallery.faces[gallery.faces.indexOf(gallery.face) + count];
  if (face !== undefined) open(face);
}

function slide() {
  byId("compare").style.setProperty("--cut", `${byId("slider").value}%`);
}

// Links: #face=ID, with set, left and right where these are known; #run-... opens its details ------

function follow() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (!link.has("face")) {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.matches("details")) target.open = true;
    return;
  }
  const id = link.get("face");
  const index = data.findIndex(
    (testset) => testset.name === (link.get("set") ?? testset.name) && testset.images.includes(id),
  );
  if (index < 0) {
    byId("status").textContent = `The link names a face that is not on this page: ${id}.`;
    return;
  }
  if (data[index] !== gallery.testset) chooseTestset(index);
  for (const side of ["left", "right"]) {
    if (layerOf(link.get(side))) choices[side].value = link.get(side);
  }
  arrange();
  open(gallery.testset.images.indexOf(id));
}

// Everything is tied to the page here -------------------------------------------------------------

filters.elements.testset.addEventListener("change", (event) => {
  const named = data.findIndex((testset) => testset.name === event.target.value);
  if (named >= 0) chooseTestset(named);
});
choices.testset.replaceChildren(...data.map((testset, place) => new Option(testset.name, place)));
choices.testset.parentElement.hidden = data.length < 2;
choices.testset.addEventListener("change", () => chooseTestset(choices.testset.value));
for (const name of ["left", "right", "metric", "order"]) {
  choices[name].addEventListener("change", arrange);
}
for (const button of all("#pages button")) {
  button.addEventListener("click", () => turn(Number(button.dataset.step)));
}
for (const side of ["left", "right"]) {
  byId(`viewer-${side}`).addEventListener("change", (event) => pick(side, event.target.value));
}
for (const button of all("[data-face]")) {
  button.addEventListener("click", () => step(Number(button.dataset.face)));
}
byId("slider").addEventListener("input", slide);
byId("compare").addEventListener("dblclick", (event) => {
  aim(event);
  zoom(byId("zoom").value === "1" ? "4" : "1");
});
byId("compare").addEventListener("pointermove", (event) => event.buttons === 0 && aim(event));
byId("zoom").addEventListener("change", (event) => zoom(event.target.value));
byId("viewer-third").addEventListener("change", () => drawThird(gallery.face));
byId("swap").addEventListener("click", swap);
byId("close").addEventListener("click", () => viewer.close());
byId("smooth").addEventListener("change", (event) => {
  byId("compare").classList.toggle("exact", !event.target.checked);
});
viewer.addEventListener("close", () => history.replaceState(null, "", "#faces"));
viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
viewer.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  const actions = { n: () => step(1), p: () => step(-1), x: swap };
  for (const factor of ["1", "2", "4", "8"]) actions[factor] = () => zoom(factor);
  actions[event.key]?.();
});
window.addEventListener("hashchange", follow);

chooseTestset(0);
slide();
follow();
