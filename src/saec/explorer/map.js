// The map: points on a canvas; zoom, pan, lasso, and which point is meant.

const MANY = 4000; // points beyond which they are plain squares while the map moves
const REACH = 14; // pixels around the pointer in which a point is meant
const AT_REST_MS = 120;

class PointMap {
  /** `on` has hover(row, x, y), pick(row) and select(rows, added). */
  constructor(canvas, on) {
    this.canvas = canvas;
    this.on = on;
    this.pen = canvas.getContext("2d");
    this.transform = d3.zoomIdentity;
    this.selected = new Set();
    this.focus = -1;
    this.lassoing = false;
    this.zoom = d3.zoom().scaleExtent([0.5, 400]).clickDistance(5)
      .filter((event) => event.type === "wheel" || !(this.lassoing || event.shiftKey || event.button))
      .on("zoom", (event) => { this.transform = event.transform; this.moving(); });
    this.surface = d3.select(canvas).call(this.zoom);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  show(space, dressed) {
    this.space = space;
    this.dress(dressed);
    this.tree = d3.quadtree(upTo(N), (row) => space.positions[2 * row], (row) => space.positions[2 * row + 1]);
    this.resize();
  }

  dress(dressed) {
    this.dressed = dressed;
    this.order = upTo(N).sort((one, other) => dressed.of[one] - dressed.of[other] || one - other);
    this.stamps = null;
    this.draw();
  }

  resize() {
    this.ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.side = Math.min(this.width, this.height) * 0.92;
    this.stamps = null;
    this.draw();
  }

  /** Where a row stands, in pixels of the canvas. */
  at(row) {
    const x = this.width / 2 + (this.space.positions[2 * row] - 0.5) * this.side;
    const y = this.height / 2 - (this.space.positions[2 * row + 1] - 0.5) * this.side;
    return this.transform.apply([x, y]);
  }

  /** The row nearest to a position on the canvas, or -1. */
  meant([x, y]) {
    const [a, b] = this.transform.invert([x, y]);
    const reach = REACH / this.transform.k / this.side;
    const row = this.tree.find((a - this.width / 2) / this.side + 0.5, (this.height / 2 - b) / this.side + 0.5, reach);
    return row === undefined ? -1 : row;
  }

  visible() {
    return upTo(N).filter((row) => {
      const [x, y] = this.at(row);
      return x >= 0 && y >= 0 && x <= this.width && y <= this.height;
    });
  }

  home() { this.surface.call(this.zoom.transform, d3.zoomIdentity); }
  move(x, y) { this.surface.call(this.zoom.translateBy, x / this.transform.k, y / this.transform.k); }
  grow(factor) { this.surface.call(this.zoom.scaleBy, factor); }

  /** Moves the map where a row would be out of sight. */
  reveal(row) {
    const [x, y] = this.at(row);
    if (x < 0 || y < 0 || x > this.width || y > this.height) this.move(this.width / 2 - x, this.height / 2 - y);
  }

  moving() {
    this.inMotion = N > MANY;
    this.on.hover(-1);
    clearTimeout(this.rest);
    this.rest = setTimeout(() => { this.inMotion = false; this.draw(); }, AT_REST_MS);
    this.draw();
  }

  draw() {
    if (this.waiting || !this.space) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const { pen } = this;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const dim = this.selected.size > 0;
    pen.globalAlpha = dim ? 0.2 : 1;
    this.points((row) => !dim || !this.selected.has(row));
    pen.globalAlpha = 1;
    if (dim) this.points((row) => this.selected.has(row));
    if (this.focus >= 0) this.ring(this.focus);
    if (this.path) this.outline();
    this.frames = (this.frames || 0) + 1;
  }

  points(wanted) {
    const { pen, ratio, dressed } = this;
    const radius = (N > MANY ? 3 : 5) * Math.min(2, this.transform.k ** 0.25) * ratio;
    if (!this.inMotion && (!this.stamps || this.stamps.radius !== radius)) {
      this.stamps = dressed.looks.map((look) => stamped(look, 2 * radius));
      this.stamps.radius = radius;
    }
    const { k, x: dx, y: dy } = this.transform;
    const { positions } = this.space;
    const w = this.canvas.width + radius, h = this.canvas.height + radius;
    let look = -1;
    for (const row of this.order) {
      const x = (k * (this.width / 2 + (positions[2 * row] - 0.5) * this.side) + dx) * ratio;
      const y = (k * (this.height / 2 - (positions[2 * row + 1] - 0.5) * this.side) + dy) * ratio;
      if (x < -radius || y < -radius || x > w || y > h || !wanted(row)) continue;
      if (this.inMotion) {
        if (dressed.of[row] !== look) pen.fillStyle = dressed.looks[(look = dressed.of[row])].color;
        pen.fillRect(x - radius * 0.7, y - radius * 0.7, radius * 1.4, radius * 1.4);
      } else pen.drawImage(this.stamps[dressed.of[row]], x - radius, y - radius);
    }
  }

  ring(row) {
    const [x, y] = this.at(row);
    const { pen, ratio } = this;
    pen.lineWidth = 2.5 * ratio;
    pen.strokeStyle = "#111";
    pen.beginPath();
    pen.arc(x * ratio, y * ratio, 10 * ratio, 0, 2 * Math.PI);
    pen.stroke();
  }

  outline() {
    const { pen, ratio } = this;
    pen.beginPath();
    this.path.forEach(([x, y], at) => (at ? pen.lineTo(x * ratio, y * ratio) : pen.moveTo(x * ratio, y * ratio)));
    pen.closePath();
    pen.fillStyle = "rgba(0,114,178,0.12)";
    pen.fill();
    pen.strokeStyle = "#0072b2";
    pen.lineWidth = 1.5 * ratio;
    pen.stroke();
  }

  listen() {
    const { canvas } = this;
    const position = (event) => d3.pointer(event, canvas);
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button || !event.isPrimary || !(this.lassoing || event.shiftKey)) return;
      canvas.setPointerCapture(event.pointerId);
      this.path = [position(event)];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.path) {
        this.path.push(position(event));
        this.moving();
      } else if (event.pointerType !== "touch") this.on.hover(this.meant(position(event)), ...position(event));
    });
    canvas.addEventListener("pointerup", (event) => {
      if (this.path && event.isPrimary) this.close(event.shiftKey && this.lassoing);
    });
    canvas.addEventListener("pointercancel", () => { this.path = null; this.draw(); });
    canvas.addEventListener("pointerleave", () => this.on.hover(-1));
    canvas.addEventListener("click", (event) => {
      const row = this.meant(position(event));
      if (row >= 0 && !this.lassoing && !event.shiftKey) this.on.pick(row);
    });
  }

  close(added) {
    const path = this.path;
    this.path = null;
    this.draw();
    if (path.length > 2) this.on.select(upTo(N).filter((row) => d3.polygonContains(path, this.at(row))), added);
  }
}

function upTo(n) { return Array.from({ length: n }, (_, at) => at); }
