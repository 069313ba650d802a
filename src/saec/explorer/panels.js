// What stands beside the map: a picture with its neighbours, the selection, clusters, names that are given.

const AT_ONCE = 120; // pictures of a gallery that are shown before one asks for more

const $ = (id) => document.getElementById(id);

function made(tag, text, properties) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  return Object.assign(element, properties);
}

function image(row) {
  const source = address(row);
  if (!source) return made("span", "", { className: "missing" });
  return made("img", undefined, { src: source, alt: `spectrogram of ${DATA.names[row]}`, loading: "lazy" });
}

function tile(row, pick, named = true) {
  const button = made("button", undefined, { type: "button", title: DATA.names[row] });
  button.dataset.row = row;
  button.append(image(row));
  if (named || !address(row)) button.append(made("span", `\u200e${DATA.names[row]}`)); // read from the left, though cut there
  button.addEventListener("click", () => pick(row));
  return button;
}

function facts(row) {
  const list = made("dl");
  for (const name of Object.keys(DATA.columns)) list.append(made("dt", name), made("dd", textOf(name, row) || "none"));
  return list;
}

function showPicture(row) {
  const parts = [image(row), made("strong", DATA.names[row]), facts(row)];
  const source = soundOf(row);
  if (source) parts.splice(1, 0, made("audio", undefined, { controls: true, preload: "none", src: source }));
  parts[0].addEventListener("click", play);
  if (DATA.links) parts.push(made("a", "the whole picture", { href: DATA.links[row], target: "_blank", rel: "noopener" }));
  document.querySelector("#picture .hint").hidden = true;
  $("shown").replaceChildren(...parts);
}

function play() {
  const sound = document.querySelector("#shown audio");
  if (sound) sound.play().catch((error) => { // another one may have been chosen before it began
    if (error.name === "NotSupportedError") $("named").textContent = "This browser cannot play the sound, or it is gone.";
  });
}

function showTip(row, x, y) {
  const tip = $("tip");
  tip.hidden = row < 0;
  if (row < 0) return;
  const color = $("color").value;
  tip.replaceChildren(image(row), made("div", DATA.names[row]));
  if (color) tip.append(made("div", `${color}: ${textOf(color, row) || "none"}`));
  const canvas = $("map");
  const left = x > canvas.clientWidth / 2;
  tip.style.left = left ? "" : `${canvas.offsetLeft + x + 16}px`;
  tip.style.right = left ? `${canvas.parentElement.clientWidth - canvas.offsetLeft - x + 16}px` : "";
  tip.style.top = `${canvas.offsetTop + Math.max(0, y - 40)}px`;
}

function showGallery(rows, pick, n = AT_ONCE) {
  $("count").textContent = rows.length ? `${rows.length} of ${N} ${DATA.many}, nearest to their centre first` : "none";
  $("gallery").replaceChildren(...rows.slice(0, n).map((row) => tile(row, pick)));
  const rest = rows.length - n;
  $("more").hidden = rest <= 0;
  $("more").textContent = `Show more (${rest})`;
  $("more").onclick = () => showGallery(rows, pick, n + AT_ONCE);
}

function showLegend(dressed, column, select) {
  const legend = $("legend");
  legend.replaceChildren();
  dressed.looks.forEach((look, number) => {
    if (!look.count) return;
    const button = made("button", undefined, { type: "button", title: `select ${look.count} ${DATA.many}` });
    button.append(stamped(look, 16), made("span", `${look.word} (${look.count})`));
    button.addEventListener("click", () => select(upTo(N).filter((row) => dressed.of[row] === number)));
    legend.append(button);
  });
  if (column) legend.prepend(made("strong", column));
}

function showClusters(column, select, pick) {
  const codes = DATA.columns[column].codes;
  $("clusters").title = column; // which may be longer than the choice is wide
  const words = DATA.columns[column].words;
  const rows = DATA.clusters[column].map((one) => {
    const line = made("tr");
    const button = made("button", one.name, { type: "button", title: `select these ${DATA.many}` });
    const code = words.indexOf(one.name);
    button.addEventListener("click", () => select(upTo(N).filter((row) => codes[row] === code)));
    const cells = [made("td"), made("td", one.size), made("td"), made("td", one.label ?? ""), made("td")];
    cells[0].append(button);
    cells[2].textContent = one.purity === null ? "no labels" : one.purity.toFixed(2);
    cells[4].append(...one.medoids.map((row) => tile(row, pick, false)));
    line.append(...cells);
    return line;
  });
  $("list").replaceChildren(...rows);
}

/** Tables of what was named by their names, as main_03_evaluate.py reads them; but for CSV one a recording. */
function tables(given, form) {
  const rows = upTo(N).filter((row) => given[row]);
  if (form === "csv") return { "annotations.csv": csv(rows, given) };
  const written = {};
  for (const row of rows) {
    const [start, end] = STRETCHES.times.subarray(2 * row, 2 * row + 2);
    if (isNaN(start) || isNaN(end)) continue;
    const file = STRETCHES.files[STRETCHES.of[row]];
    const [low, high] = Array.from(STRETCHES.bands.subarray(2 * row, 2 * row + 2), (hertz) => (isNaN(hertz) ? "" : String(+hertz.toFixed(6))));
    const line = { start: start.toFixed(6), end: end.toFixed(6), low, high, file: plain(file.split("/").pop()), label: plain(given[row]) };
    (written[file] ??= []).push(line);
  }
  const write = form === "raven" ? raven : audacity;
  const texts = {};
  for (const [file, lines] of Object.entries(written)) {
    const name = file.replace(/[^\p{L}\p{N}.-]/gu, "_");
    let free = `${name}.${form}.txt`;
    for (let n = 2; free in texts; n += 1) free = `${name}-${n}.${form}.txt`; // a/b.wav is not a_b.wav
    texts[free] = write(lines);
  }
  return texts;
}

const plain = (word) => word.replace(/[\t\r\n]/g, " ");

function csv(rows, given) {
  const quoted = (word) => `"${String(word).replace(/^[=+@-]/, "'$&").replaceAll('"', '""')}"`; // no formulas
  return ["file,label", ...rows.map((row) => `${quoted(DATA.names[row])},${quoted(given[row])}`)].join("\r\n") + "\r\n";
}

function raven(lines) {
  const heads = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)", "Begin File", "Annotation"];
  const rows = lines.map(({ start, end, low, high, file, label }, at) => [at + 1, "Spectrogram 1", 1, start, end, low, high, file, label]);
  return [heads, ...rows].map((cells) => cells.join("\t")).join("\n") + "\n";
}

function audacity(lines) {
  return lines.map(({ start, end, low, high, label }) => `${start}\t${end}\t${label}\n${low && high && `\\\t${low}\t${high}\n`}`).join("");
}

function download(texts) {
  for (const [name, text] of Object.entries(texts)) {
    const link = made("a", undefined, { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/plain" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}
