"use strict";
// The data of the page: unpacked once, never changed.

const DATA = JSON.parse(document.getElementById("data").textContent);
const N = DATA.names.length;

function unpacked(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
}

for (const space of Object.values(DATA.spaces)) {
  space.positions = unpacked(space.positions, Float32Array); // x, y, x, y ... in a square of 1
  space.neighbors = unpacked(space.neighbors, Int32Array);
  space.near = unpacked(space.near, Int16Array);
}

for (const column of Object.values(DATA.columns)) {
  if (column.kind === "number") column.values = unpacked(column.values, Float32Array);
  else column.codes = unpacked(column.codes, Int32Array);
}

function textOf(name, row) {
  const column = DATA.columns[name];
  if (column.kind !== "number") return column.words[column.codes[row]];
  return isNaN(column.values[row]) ? "" : String(+column.values[row].toPrecision(4));
}

function address(row) {
  if (DATA.thumbnails) return DATA.thumbnails[row];
  return DATA.links ? DATA.links[row] : null;
}

const STRETCHES = DATA.stretches; // what each row is of: a file, and seconds in it
if (STRETCHES) {
  STRETCHES.of = unpacked(STRETCHES.of, Int32Array);
  STRETCHES.times = unpacked(STRETCHES.times, Float64Array); // start, end, start, end ...; NaN: the whole file
  STRETCHES.bands = unpacked(STRETCHES.bands, Float64Array); // low, high, low, high ... in Hz; NaN: not known
}

/** The address of a row's sound: a clip in the page, else its part of the recording; "" where there is none. */
function soundOf(row) {
  if (DATA.clips) return DATA.clips[row];
  const file = DATA.recordings ? DATA.recordings[STRETCHES.of[row]] : "";
  const [start, end] = STRETCHES ? STRETCHES.times.subarray(2 * row, 2 * row + 2) : [];
  return file && !isNaN(start) ? `${file}#t=${+start.toFixed(3)}${isNaN(end) ? "" : `,${+end.toFixed(3)}`}` : file;
}

function neighborsOf(space, row) {
  const n = space.n_neighbors;
  return Array.from(space.neighbors.subarray(row * n, row * n + n));
}

/** The rows, those nearest to their common centre first. */
function byNearness(space, rows) {
  const n = space.n_near;
  const centre = new Float64Array(n);
  for (const row of rows) for (let at = 0; at < n; at++) centre[at] += space.near[row * n + at] / rows.length;
  const distances = new Map();
  for (const row of rows) {
    let sum = 0;
    for (let at = 0; at < n; at++) sum += (space.near[row * n + at] - centre[at]) ** 2;
    distances.set(row, sum);
  }
  return [...rows].sort((one, other) => distances.get(one) - distances.get(other) || one - other);
}
