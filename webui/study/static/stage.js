// The image with its overlays, in one plane that is zoomed and panned.

const SVG = "http://www.w3.org/2000/svg";
const MAX_SCALE = 12;
const RULER_STEPS_MM = [1, 2, 5, 10, 20, 50];
const RULER_PX = 160;

export class Stage {
  #stage = document.getElementById("stage");
  #plane = document.getElementById("plane");
  #canvas = document.getElementById("frame");
  #heat = document.getElementById("heat");
  #outlines = document.getElementById("outlines");
  #ruler = document.getElementById("ruler");
  #image = null;
  #scale = 1;
  #x = 0;
  #y = 0;
  #fitted = true;
  #line = null;
  pen = null; // receives the points of each stroke; without a pen, dragging pans the image

  constructor() {
    new ResizeObserver(() => (this.#fitted ? this.fit() : this.#place())).observe(this.#stage);
    this.#stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#stage.addEventListener("pointerdown", (event) => this.#drag(event));
    this.#stage.addEventListener("dblclick", () => this.pen || this.fit());
  }

  // Prepares for an image of another size and spacing; draw() then shows a frame.
  open(image) {
    this.#image = image;
    this.#canvas.width = image.columns;
    this.#canvas.height = image.rows;
    this.#plane.style.width = `${image.columns}px`;
    this.#plane.style.height = `${image.rows}px`;
    this.#outlines.setAttribute("viewBox", `0 0 ${image.columns} ${image.rows}`);
    this.clear();
    this.fit();
  }

  clear() {
    this.#canvas.getContext("2d").clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  draw(frame) {
    this.#canvas.getContext("2d").drawImage(frame, 0, 0);
  }

  outline(lesions, visible) {
    const shapes = visible ? lesions.flatMap((lesion) => this.#shapes(lesion)) : [];
    this.#outlines.replaceChildren(...shapes);
  }

  heat(address, opacity) {
    if (address && this.#heat.getAttribute("src") !== address) {
      this.#heat.src = address;
    }
    this.#heat.hidden = !address;
    this.#heat.style.opacity = opacity;
  }

  fit() {
    if (!this.#image?.columns) {
      return; // an object without pixels
    }
    const { clientWidth: width, clientHeight: height } = this.#stage;
    const { columns, rows } = this.#image;
    this.#scale = Math.min(width / columns, height / rows);
    this.#x = (width - columns * this.#scale) / 2;
    this.#y = (height - rows * this.#scale) / 2;
    this.#fitted = true;
    this.#place();
  }

  zoom(factor, at = null) {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    const { x, y } = at ?? { x: width / 2, y: height / 2 };
    const scale = Math.min(Math.max(this.#scale * factor, 0.1), MAX_SCALE);
    this.#x = x - ((x - this.#x) * scale) / this.#scale;
    this.#y = y - ((y - this.#y) * scale) / this.#scale;
    this.#scale = scale;
    this.#fitted = false;
    this.#place();
  }

  get percent() {
    return Math.round(100 * this.#scale);
  }

  #place() {
    this.#plane.style.transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#scale})`;
    for (const text of this.#outlines.querySelectorAll("text")) {
      text.setAttribute("font-size", 13 / this.#scale);
    }
    this.#drawRuler();
    this.#stage.dispatchEvent(new CustomEvent("zoomed"));
  }

  #wheel(event) {
    event.preventDefault();
    const box = this.#stage.getBoundingClientRect();
    const at = { x: event.clientX - box.left, y: event.clientY - box.top };
    this.zoom(Math.exp(-event.deltaY / 500), at);
  }

  #drag(event) {
    if (event.button !== 0) {
      return;
    }
    if (this.pen) {
      this.#stroke(event);
      return;
    }
    const from = { x: event.clientX - this.#x, y: event.clientY - this.#y };
    const move = (next) => {
      this.#x = next.clientX - from.x;
      this.#y = next.clientY - from.y;
      this.#fitted = false;
      this.#place();
    };
    const end = () => this.#stage.removeEventListener("pointermove", move);
    this.#stage.setPointerCapture(event.pointerId);
    this.#stage.addEventListener("pointermove", move);
    this.#stage.addEventListener("lostpointercapture", end, { once: true });
  }

  // Discards the stroke that is being drawn. Returns whether there was one.
  cancelStroke() {
    const canceled = this.#line !== null;
    this.#line = null;
    this.#sketch([]);
    return canceled;
  }

  #stroke(event) {
    const line = [this.#point(event)];
    const move = (next) => {
      if (this.#line === line) {
        line.push(this.#point(next));
        this.#sketch(line);
      }
    };
    const end = () => {
      this.#stage.removeEventListener("pointermove", move);
      if (this.#line === line) {
        this.cancelStroke();
        this.pen?.(line);
      }
    };
    this.#line = line;
    this.#stage.setPointerCapture(event.pointerId);
    this.#stage.addEventListener("pointermove", move);
    this.#stage.addEventListener("lostpointercapture", end, { once: true });
  }

  // Returns the pointer position in image pixels, clamped to the image.
  #point(event) {
    const box = this.#stage.getBoundingClientRect();
    const { columns, rows } = this.#image;
    const x = (event.clientX - box.left - this.#x) / this.#scale;
    const y = (event.clientY - box.top - this.#y) / this.#scale;
    return [Math.min(Math.max(x, 0), columns), Math.min(Math.max(y, 0), rows)];
  }

  #sketch(line) {
    this.#outlines.querySelector(".sketch")?.remove();
    if (line.length) {
      const points = line.map((point) => point.join(",")).join(" ");
      this.#outlines.append(element("polygon", { points, class: "sketch" }));
    }
  }

  #shapes(lesion) {
    const points = lesion.points.map((point) => point.join(",")).join(" ");
    const [x, y] = lesion.points.reduce((right, point) => (point[0] > right[0] ? point : right));
    const label = element("text", { x: x + 6 / this.#scale, y, "font-size": 13 / this.#scale });
    label.textContent = lesion.lesion;
    return [
      element("polygon", { points, class: "shadow" }),
      element("polygon", { points, class: lesion.label }),
      label,
    ];
  }

  // Draws a scale bar from the column spacing; none if the image is not calibrated.
  #drawRuler() {
    const spacing = this.#image?.spacing_mm?.[1];
    this.#ruler.replaceChildren();
    if (!spacing) {
      return;
    }
    const pixelsPerMm = this.#scale / spacing;
    const fitting = RULER_STEPS_MM.filter((mm) => mm * pixelsPerMm <= RULER_PX);
    const mm = fitting.at(-1) ?? RULER_STEPS_MM[0];
    const length = mm * pixelsPerMm;
    const label = element("text", { x: 236 - length - 8, y: 26 });
    label.textContent = `${mm} mm`;
    this.#ruler.append(element("path", { d: `M${236 - length} 16v10h${length}v-10` }), label);
  }
}

export function element(name, attributes) {
  const created = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    created.setAttribute(key, value);
  }
  return created;
}
