// The page at work: what is chosen, and what follows from it.

const KEPT = `saec:${DATA.id}`; // names survive a reload, where the browser allows it
const NAMES = "names given here";
const state = { space: Object.keys(DATA.spaces)[0], rows: [], given: kept(), adding: false };

const map = new PointMap($("map"), {
  hover: (row, x, y) => showTip(row, x, y),
  pick,
  select: (rows, added) => select(rows, added || state.adding),
});

function kept() {
  try { return JSON.parse(localStorage.getItem(KEPT)) || {}; } catch { return {}; }
}

function keep() {
  try { localStorage.setItem(KEPT, JSON.stringify(state.given)); } catch { /* a browser that keeps nothing */ }
}

const space = () => DATA.spaces[state.space];

function pick(row) {
  map.focus = row;
  map.reveal(row);
  map.draw();
  showPicture(row);
  if ($("sound").getAttribute("aria-pressed") === "true") play();
  $("neighbors").replaceChildren(...neighborsOf(space(), row).map((one) => tile(one, pick)));
}

/** Rows come on top of the selection on request; nothing clears it. */
function select(rows, added = state.adding) {
  rows = added && rows.length ? [...new Set([...state.rows, ...rows])] : rows;
  state.rows = rows;
  map.selected = new Set(rows);
  map.draw();
  showGallery(byNearness(space(), rows), pick);
}

/** The names given so far, as a column like any other. */
function named() {
  const given = upTo(N).map((row) => state.given[row] || "");
  const words = [...new Set(given)].sort();
  DATA.columns[NAMES] = { kind: "category", words, codes: Int32Array.from(given, (word) => words.indexOf(word)) };
}

function color() {
  named();
  const column = $("color").value;
  const dressed = looksOf(column);
  map.dress(dressed);
  showLegend(dressed, column, select);
}

function changeSpace() {
  state.space = $("space").value;
  map.show(space(), map.dressed);
  if (state.rows.length) select(state.rows, false);
  if (map.focus >= 0) pick(map.focus);
}

function mode(lassoing) {
  map.lassoing = lassoing;
  $("lasso").setAttribute("aria-pressed", lassoing);
  $("pan").setAttribute("aria-pressed", !lassoing);
}

function toggle(row) {
  if (row >= 0) select(state.rows.includes(row) ? state.rows.filter((one) => one !== row) : [...state.rows, row], false);
}

function adding(now) {
  state.adding = now;
  $("add").setAttribute("aria-pressed", now);
}

function step(by) {
  const row = map.focus < 0 ? (by > 0 ? 0 : N - 1) : (map.focus + by + N) % N;
  map.focus = row;
  map.reveal(row);
  map.draw();
  showPicture(row);
  showTip(row, ...map.at(row)); // after the map has moved, which hides it
}

function counted() {
  const n = Object.keys(state.given).length;
  $("named").textContent = n ? `${n} of ${N} ${DATA.many} are named` : "";
  $("words").replaceChildren(...[...new Set(Object.values(state.given))].sort().map((word) => made("option", word)));
}

function name(event) {
  event.preventDefault();
  const word = $("word").value.trim();
  if (!state.rows.length) { $("named").textContent = `Select ${DATA.many} first.`; return; }
  for (const row of state.rows) {
    if (word) state.given[row] = word;
    else delete state.given[row];
  }
  keep();
  counted();
  color();
  if (map.focus >= 0) showPicture(map.focus);
}

const KEYS = {
  ArrowLeft: () => map.move(60, 0),
  ArrowRight: () => map.move(-60, 0),
  ArrowUp: () => map.move(0, 60),
  ArrowDown: () => map.move(0, -60),
  "+": () => map.grow(1.4),
  "=": () => map.grow(1.4),
  "-": () => map.grow(1 / 1.4),
  0: () => map.home(),
  n: () => step(1),
  p: () => step(-1),
  Enter: () => { if (map.focus >= 0) pick(map.focus); },
  s: () => play(),
  " ": () => toggle(map.focus),
  a: () => select(map.visible()),
  l: () => mode(!map.lassoing),
  Escape: () => select([]),
};

function choices(id, names, change) {
  $(id).replaceChildren(...names.map((one) => made("option", one, { value: one })));
  $(id).addEventListener("change", change);
}

choices("space", Object.keys(DATA.spaces), changeSpace);
named();
choices("color", Object.keys(DATA.columns), color);
choices("clusters", Object.keys(DATA.clusters), () => showClusters($("clusters").value, select, pick));
$("map-choice").hidden = Object.keys(DATA.spaces).length < 2;
if (DATA.color) $("color").value = DATA.color;
$("pan").addEventListener("click", () => mode(false));
$("lasso").addEventListener("click", () => mode(true));
$("add").addEventListener("click", () => adding(!state.adding));
$("visible").addEventListener("click", () => select(map.visible()));
$("clear").addEventListener("click", () => select([]));
$("home").addEventListener("click", () => map.home());
$("naming").addEventListener("submit", name);
$("download").addEventListener("click", () => download(tables(state.given, $("form").value)));
$("sound").addEventListener("click", () => $("sound").setAttribute("aria-pressed", $("sound").getAttribute("aria-pressed") !== "true"));
$("sound").hidden = !(DATA.clips || DATA.recordings);
$("form").hidden = !STRETCHES || STRETCHES.times.every((second) => isNaN(second));
$("map").addEventListener("keydown", (event) => {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});

map.show(space(), looksOf($("color").value));
color();
counted();
if ($("clusters").value) {
  $("clustering").hidden = false;
  showClusters($("clusters").value, select, pick);
}
