// How points look: a colour and a shape for each word of a column, distinguishable without seeing colours.

const OKABE_ITO = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000"];
const SHAPES = ["circle", "square", "triangle", "diamond", "cross"];
const NOTHING = { color: "#b8bec6", shape: "circle" };
const NO_WORD = new Set(["", "-1"]); // no label, and the noise of a clustering

/** The looks of a column, and which of them each row has; rows without a word have look 0. */
function looksOf(name) {
  const column = DATA.columns[name];
  const of = new Uint16Array(N);
  if (!column) return { looks: [{ ...NOTHING, word: DATA.many, count: N }], of };
  if (column.kind === "number") return ramped(column, of);
  return column.ordered && column.words.length > OKABE_ITO.length ? inOrder(column, of) : worded(column, of);
}

function worded(column, of) {
  const counts = new Uint32Array(column.words.length);
  for (const code of column.codes) counts[code]++;
  const telling = [...counts.keys()].filter((code) => !NO_WORD.has(column.words[code]));
  const most = OKABE_ITO.length * SHAPES.length;
  const largest = [...telling].sort((one, other) => counts[other] - counts[one]).slice(0, most);
  const shown = new Set(largest);
  const looks = [{ ...NOTHING, word: "none", count: 0 }];
  const lookOf = new Uint16Array(column.words.length);
  for (const code of telling) {
    if (!shown.has(code)) continue;
    const number = looks.length - 1;
    lookOf[code] = looks.length;
    looks.push({
      color: OKABE_ITO[number % OKABE_ITO.length],
      shape: SHAPES[number % SHAPES.length], // 8 and 5 have no common factor: 40 pairs
      word: column.words[code],
      count: counts[code],
    });
  }
  column.codes.forEach((code, row) => { of[row] = lookOf[code]; });
  looks[0].count = of.reduce((sum, look) => sum + (look === 0), 0);
  looks[0].word = telling.length > shown.size ? "none, or one of the smaller ones" : "none";
  return { looks, of };
}

function ramped(column, of) {
  const ramp = column.cycle ? DATA.cycle : DATA.ramp; // of a cycle the end looks like the start
  const there = column.values.filter((value) => !isNaN(value));
  const low = column.cycle ? 0 : there.reduce((a, b) => Math.min(a, b), Infinity);
  const high = column.cycle || there.reduce((a, b) => Math.max(a, b), -Infinity);
  const steps = ramp.length - (column.cycle ? 0 : 1);
  const looks = ramp.map((rgb, step) => ({
    color: `rgb(${rgb.join(",")})`, shape: "circle", word: String(+(low + ((high - low) * step) / steps).toPrecision(3)), count: 0,
  }));
  if (there.length < N) looks.push({ ...NOTHING, word: "none", count: 0 });
  column.values.forEach((value, row) => {
    const step = high > low ? ((value - low) / (high - low)) * steps : 0;
    of[row] = isNaN(value) ? ramp.length : column.cycle ? ((Math.floor(step) % steps) + steps) % steps : Math.round(step);
    looks[of[row]].count++;
  });
  return { looks, of };
}

/** Words along the ramp, each look called by the first of its words. */
function inOrder(column, of) {
  const values = Float32Array.from(column.codes, (code) => (NO_WORD.has(column.words[code]) ? NaN : code));
  const dressed = ramped({ values }, of);
  dressed.looks.forEach((look, number) => {
    const first = column.codes.filter((_, row) => of[row] === number).reduce((a, b) => Math.min(a, b), Infinity);
    if (look.count && look.word !== "none") look.word = column.words[first];
  });
  return dressed;
}

/** Draws a look into a small canvas of its own, `size` device pixels wide. */
function stamped(look, size) {
  const stamp = document.createElement("canvas");
  stamp.width = stamp.height = Math.ceil(size);
  const pen = stamp.getContext("2d");
  pen.translate(stamp.width / 2, stamp.height / 2);
  pen.fillStyle = look.color;
  pen.strokeStyle = "rgba(30,30,30,0.55)"; // yellow on white needs an edge
  pen.lineWidth = Math.max(0.5, size / 18);
  outline(pen, look.shape, size / 2 - pen.lineWidth);
  pen.fill();
  pen.stroke();
  return stamp;
}

function outline(pen, shape, r) {
  const corners = {
    square: [[-0.8, -0.8], [0.8, -0.8], [0.8, 0.8], [-0.8, 0.8]],
    triangle: [[0, -1], [0.95, 0.75], [-0.95, 0.75]],
    diamond: [[0, -1], [0.8, 0], [0, 1], [-0.8, 0]],
    cross: [[-0.3, -1], [0.3, -1], [0.3, -0.3], [1, -0.3], [1, 0.3], [0.3, 0.3],
      [0.3, 1], [-0.3, 1], [-0.3, 0.3], [-1, 0.3], [-1, -0.3], [-0.3, -0.3]],
  }[shape];
  pen.beginPath();
  if (!corners) pen.arc(0, 0, r, 0, 2 * Math.PI);
  else corners.forEach(([x, y], at) => (at ? pen.lineTo(x * r, y * r) : pen.moveTo(x * r, y * r)));
  pen.closePath();
}
