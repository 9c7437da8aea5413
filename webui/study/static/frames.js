// A cache of decoded frames: loads each once, loads the next ones in advance, evicts the oldest.

const MAX_FRAMES = 400;

export class Frames {
  #frames = new Map(); // address -> Promise of an image

  get(image, number) {
    const address = `${image.folder}/${number}.jpg`;
    let frame = this.#frames.get(address);
    if (frame) {
      this.#frames.delete(address); // becomes the newest
    } else {
      frame = load(address);
      frame.catch(() => this.#frames.delete(address)); // the next call tries again
    }
    this.#frames.set(address, frame);
    this.#evict();
    return frame;
  }

  prefetch(image, number, count) {
    for (let step = 1; step <= count; step += 1) {
      this.get(image, ((number - 1 + step) % image.frames) + 1).catch(() => {});
    }
  }

  #evict() {
    for (const address of this.#frames.keys()) {
      if (this.#frames.size <= MAX_FRAMES) {
        return;
      }
      this.#frames.delete(address);
    }
  }
}

async function load(address) {
  const frame = new Image();
  frame.src = address;
  await frame.decode();
  return frame;
}
