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
  return column.kind === "number" ? String(+column.values[row].toPrecision(4)) : column.words[column.codes[row]];
}

function address(row) {
  if (DATA.thumbnails) return DATA.thumbnails[row];
  return DATA.links ? DATA.links[row] : null;
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
