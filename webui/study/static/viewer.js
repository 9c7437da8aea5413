// The current image and frame with its overlays. frames.js loads frames, stage.js displays them.

import { Frames } from "./frames.js";
import { Stage, element } from "./stage.js";

const DEFAULT_FRAME_TIME_MS = 66;
const PREFETCHED_FRAMES = 12;

export class Viewer {
  #images;
  #classes;
  #outlines;
  #frames = new Frames();
  stage = new Stage();
  onShown = () => {}; // called for each frame shown
  #index = 0;
  #number = 1;
  #mask = true;
  #heat = false;
  #opacity = 0.45;
  #playing = false;

  constructor(images, outlines, classes) {
    this.#images = images;
    this.#classes = classes;
    this.#outlines = outlines;
    document.getElementById("stage").addEventListener("zoomed", () => this.#describe());
    at("seek").addEventListener("input", (event) => this.frame(Number(event.target.value)));
    at("opacity").addEventListener("input", (event) => this.#setOpacity(Number(event.target.value)));
  }

  get image() {
    return this.#images[this.#index];
  }

  get number() {
    return this.#number;
  }

  open(index, number = null) {
    if (!this.#images[index]) {
      return;
    }
    this.stop();
    this.#index = index;
    this.stage.open(this.image);
    this.#markThumbnail();
    this.#drawTicks();
    at("cine").hidden = this.image.frames < 2;
    at("seek").max = this.image.frames;
    this.frame(number ?? this.image.first);
  }

  step(by) {
    this.open(Math.min(Math.max(this.#index + by, 0), this.#images.length - 1));
  }

  stepFrame(by) {
    this.stop();
    const count = this.image.frames;
    this.frame(((this.#number - 1 + by + count) % count) + 1);
  }

  async frame(number) {
    this.#number = number;
    this.stage.cancelStroke(); // it belongs to the previous frame
    this.onShown();
    const image = this.image;
    const isCurrent = () => this.image === image && this.#number === number;
    try {
      const frame = await this.#frames.get(image, number);
      if (isCurrent()) {
        this.stage.draw(frame);
        this.#showError("");
      }
    } catch {
      if (isCurrent()) {
        this.stage.clear();
        this.#showError(image.refused || `Frame ${number} cannot be displayed.`);
      }
    }
    if (isCurrent()) {
      this.#overlay();
      this.#describe();
    }
  }

  togglePlay() {
    if (this.#playing) {
      this.stop();
    } else if (this.image.frames > 1) {
      this.#play();
    }
  }

  stop() {
    this.#playing = false;
    this.#showPlaying();
  }

  toggleMask() {
    this.#mask = !this.#mask;
    at("mask").setAttribute("aria-pressed", this.#mask);
    this.#overlay();
  }

  showMask() {
    if (!this.#mask) {
      this.toggleMask();
    }
  }

  // Redraws the outlines after a change.
  refresh() {
    this.#overlay();
  }

  toggleHeat() {
    this.#heat = !this.#heat;
    at("heat-toggle").setAttribute("aria-pressed", this.#heat);
    this.#overlay();
    this.#describe();
  }

  fit() {
    this.stage.fit();
  }

  zoom(factor) {
    this.stage.zoom(factor);
  }

  // Shows the frames at their frame rate. Waits for frames that load late; skips none.
  async #play() {
    this.#playing = true;
    this.#showPlaying();
    const image = this.image;
    const frameTimeMs = image.frame_time_ms ?? DEFAULT_FRAME_TIME_MS;
    let due = performance.now();
    while (this.#playing && this.image === image) {
      const next = (this.#number % image.frames) + 1;
      this.#frames.prefetch(image, next, Math.min(PREFETCHED_FRAMES, image.frames));
      due = Math.max(due + frameTimeMs, performance.now() - frameTimeMs);
      await Promise.all([this.#frames.get(image, next).catch(() => {}), until(due)]);
      if (this.#playing && this.image === image) {
        await this.frame(next);
      }
    }
  }

  #showPlaying() {
    at("play").textContent = this.#playing ? "Pause" : "Play";
    at("play").setAttribute("aria-pressed", this.#playing);
  }

  #setOpacity(percent) {
    this.#opacity = percent / 100;
    if (!this.#heat) {
      this.toggleHeat();
    }
    this.#overlay();
  }

  get #sampled() {
    return this.image.sampled.find((frame) => frame.number === this.#number);
  }

  #overlay() {
    this.stage.outline(this.#outlines.on(this.image, this.#number), this.#mask);
    this.stage.heat(this.#heat ? this.#sampled?.heatmap : null, this.#opacity);
  }

  #describe() {
    const { image } = this;
    const cine = image.frames > 1;
    at("seek").value = this.#number;
    at("position").textContent = cine ? `${this.#number} / ${image.frames}` : "";
    const pace = image.frame_time_ms ? `${Math.round(1000 / image.frame_time_ms)} frames/s` : "unknown frame rate";
    const facts = [
      `Image ${image.number}${image.laterality ? ` ${image.laterality}` : ""}${cine ? ` · ${pace}` : ""} · ${this.stage.percent} %`,
      this.#classification(),
      image.spacing_mm || image.refused ? "" : "Not calibrated: sizes in pixels",
    ];
    at("corner").textContent = facts.filter(Boolean).join("\n");
  }

  #classification() {
    const { image } = this;
    if (image.refused) {
      return `Not analyzed: ${image.refused}`;
    }
    if (!image.label) {
      return "";
    }
    const sampled = this.#sampled;
    if (!sampled) {
      return "This frame was not analyzed";
    }
    const values = this.#classes.map((name, at) => `${name} ${Math.round(100 * sampled.probabilities[at])} %`);
    const heat = this.#heat && !sampled.heatmap ? " · no heat map" : "";
    return `AI in this frame: ${values.join(", ")}${heat}`;
  }

  #showError(text) {
    at("viewer-error").textContent = text;
    at("viewer-error").hidden = !text;
  }

  #markThumbnail() {
    for (const button of document.querySelectorAll(".thumbs [data-image]")) {
      const current = Number(button.dataset.image) === this.#index;
      button.toggleAttribute("aria-current", current);
      if (current) {
        button.setAttribute("aria-current", "true");
        button.scrollIntoView({ block: "nearest" });
      }
    }
  }

  // Draws one bar per analyzed frame, as high as its confidence and in the color of its class.
  #drawTicks() {
    const { image } = this;
    const ticks = at("ticks");
    const span = Math.max(image.frames - 1, 1);
    ticks.setAttribute("viewBox", `0 0 ${span} 100`);
    const width = Math.max(span / 240, 0.15);
    ticks.replaceChildren(
      ...image.sampled.map(({ number, probabilities }) => {
        const height = 100 * Math.max(...probabilities);
        const label = this.#classes[probabilities.indexOf(Math.max(...probabilities))];
        return element("rect", { x: number - 1 - width / 2, y: 100 - height, width, height, class: label });
      }),
    );
  }
}

const at = (id) => document.getElementById(id);

const until = (due) => new Promise((done) => setTimeout(done, Math.max(0, due - performance.now())));
