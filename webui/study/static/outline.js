// Outlines that the reader changes, and the tools to change them.

const MAX_POINTS = 200;
const MIN_STROKE_PX = 8;

// The changed outlines of a review, as its form sends them: {image, frame, lesion, points}. A removed
// lesion has no points.
export class Outlines {
  #images;
  #edits;
  #history = [];

  constructor(images, edits) {
    this.#images = images;
    this.#edits = edits;
  }

  get edits() {
    return this.#edits;
  }

  // Returns the outlines of a frame: the reader's where there is one, the network's elsewhere.
  on(image, frame) {
    return this.lesions(image, frame).filter((lesion) => lesion.points.length);
  }

  // Like on(), including the lesions that the reader removed.
  lesions(image, frame) {
    const numbers = this.#numbers();
    const own = image.outlines.filter((outline) => outline.frame === frame);
    const unchanged = own.filter((outline) => !this.#edit(image, frame, outline.uid));
    const edited = this.#edits
      .filter((edit) => edit.image === image.id && edit.frame === frame)
      .map(({ lesion, points }) => ({ uid: lesion, lesion: numbers.get(lesion), points, label: "edited" }));
    return [...unchanged, ...edited].sort((a, b) => a.lesion - b.lesion);
  }

  isEdited(image, frame, uid) {
    return Boolean(this.#edit(image, frame, uid));
  }

  draw(image, frame, uid, points) {
    const drawn = { image: image.id, frame, lesion: uid, points };
    const old = this.#edit(image, frame, uid);
    this.#change(old ? this.#edits.map((edit) => (edit === old ? drawn : edit)) : [...this.#edits, drawn]);
  }

  remove(image, frame, uid) {
    if (image.outlines.some((outline) => outline.frame === frame && outline.uid === uid)) {
      this.draw(image, frame, uid, []);
    } else {
      this.restore(image, frame, uid);
    }
  }

  // Restores the network's outline, or removes the reader's if the network has none.
  restore(image, frame, uid) {
    const old = this.#edit(image, frame, uid);
    this.#change(this.#edits.filter((edit) => edit !== old));
  }

  get undoable() {
    return this.#history.length > 0;
  }

  undo() {
    this.#edits = this.#history.pop() ?? this.#edits;
  }

  #change(edits) {
    this.#history.push(this.#edits);
    this.#edits = edits;
  }

  #edit(image, frame, uid) {
    return this.#edits.find((edit) => edit.image === image.id && edit.frame === frame && edit.lesion === uid);
  }

  // The network's lesions keep their numbers, and drawn ones get the next numbers, as on the server.
  #numbers() {
    const known = this.#images.flatMap((image) => image.outlines);
    const numbers = new Map(known.map((outline) => [outline.uid, outline.lesion]));
    for (const { lesion } of this.#edits) {
      if (!numbers.has(lesion)) {
        numbers.set(lesion, Math.max(0, ...numbers.values()) + 1);
      }
    }
    return numbers;
  }
}

// The outline toolbar below the image, and the drawing mode of the stage.
export class Editor {
  #viewer;
  #outlines;
  #changed;
  #button = document.getElementById("edit");
  #bar = document.getElementById("edit-bar");
  #target = document.getElementById("edit-target");
  #undo = document.getElementById("edit-undo");
  #restore = document.getElementById("edit-restore");
  #remove = document.getElementById("edit-remove");

  // Calls `changed` after each change.
  constructor(viewer, outlines, changed) {
    this.#viewer = viewer;
    this.#outlines = outlines;
    this.#changed = changed;
    this.#button.addEventListener("click", () => this.toggle());
    this.#undo.addEventListener("click", () => this.undo());
    this.#restore.addEventListener("click", () => this.#apply("restore"));
    this.#remove.addEventListener("click", () => this.#apply("remove"));
    document.getElementById("edit-done").addEventListener("click", () => this.#show(false));
    this.#target.addEventListener("change", () => {
      this.#enable();
      document.getElementById("stage").focus();
    });
    viewer.onShown = () => this.#refresh();
  }

  toggle() {
    this.#show(this.#bar.hidden && !this.#button.disabled);
  }

  // Cancels the stroke that is being drawn; if there is none, ends editing.
  cancel() {
    if (!this.#viewer.stage.cancelStroke()) {
      this.#show(false);
    }
  }

  undo() {
    if (this.#outlines.undoable) {
      this.#outlines.undo();
      this.#finish();
    }
  }

  #show(on) {
    this.#bar.hidden = !on;
    this.#button.setAttribute("aria-pressed", on);
    this.#viewer.stage.pen = on ? (points) => this.#drawn(points) : null;
    if (on) {
      this.#viewer.stop();
      this.#viewer.showMask();
    }
    this.#refresh();
  }

  #drawn(line) {
    const { image, number } = this.#viewer;
    if (extent(line) < MIN_STROKE_PX) {
      return;
    }
    const uid = this.#target.value || newUid();
    this.#outlines.draw(image, number, uid, simplify(line));
    this.#finish(uid);
  }

  #apply(act) {
    const { image, number } = this.#viewer;
    this.#outlines[act](image, number, this.#target.value);
    this.#finish();
  }

  #finish(uid = this.#target.value) {
    this.#refresh(uid);
    this.#viewer.refresh();
    this.#changed();
  }

  #refresh(uid = this.#target.value) {
    const { image, number } = this.#viewer;
    this.#button.disabled = !image?.label;
    if (this.#bar.hidden) {
      return;
    }
    if (this.#button.disabled) {
      this.#show(false);
      return;
    }
    const lesions = this.#outlines.lesions(image, number);
    this.#target.replaceChildren(
      ...lesions.map(({ uid, lesion, points }) => new Option(`Lesion ${lesion}${points.length ? "" : " (removed)"}`, uid)),
      new Option("New lesion", ""),
    );
    this.#target.value = lesions.some((lesion) => lesion.uid === uid) ? uid : (lesions[0]?.uid ?? "");
    this.#enable();
  }

  #enable() {
    const { image, number } = this.#viewer;
    const uid = this.#target.value;
    this.#undo.disabled = !this.#outlines.undoable;
    this.#restore.disabled = !this.#outlines.isEdited(image, number, uid);
    this.#remove.disabled = !this.#outlines.on(image, number).some((lesion) => lesion.uid === uid);
  }
}

function extent(line) {
  const [xs, ys] = [0, 1].map((axis) => line.map((point) => point[axis]));
  return Math.hypot(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
}

// Returns at most MAX_POINTS of a closed line, with the smallest tolerance in pixels that allows it.
export function simplify(line) {
  for (let tolerance = 0.3; ; tolerance *= 1.3) {
    const far = line.reduce((best, point, at) => (distance(point, line[0]) > distance(line[best], line[0]) ? at : best), 0);
    const kept = [...thin(line.slice(0, far + 1), tolerance), ...thin([...line.slice(far), line[0]], tolerance)];
    if (kept.length <= MAX_POINTS) {
      return kept.map((point) => point.map((value) => Math.round(100 * value) / 100));
    }
  }
}

// Douglas-Peucker simplification (1973), without the last point.
function thin(line, tolerance) {
  const [first, last] = [line[0], line.at(-1)];
  const distances = line.map((point) => distanceToLine(point, first, last));
  const worst = distances.indexOf(Math.max(...distances));
  if (distances[worst] <= tolerance) {
    return [first];
  }
  return [...thin(line.slice(0, worst + 1), tolerance), ...thin(line.slice(worst), tolerance)];
}

function distanceToLine([x, y], [x0, y0], [x1, y1]) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  return length ? Math.abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / length : Math.hypot(x - x0, y - y0);
}

const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

// Returns a random UUID as a DICOM UID (PS3.5 B.2). crypto.randomUUID() requires HTTPS.
function newUid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `2.25.${BigInt(`0x${digits}`)}`;
}
