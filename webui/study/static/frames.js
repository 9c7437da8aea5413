// Frames as decoded pictures: fetched once, the next ones ahead of time, the oldest let go.

const KEEP = 400;

export class Frames {
  #pictures = new Map(); // address -> Promise of an image

  get(image, number) {
    const address = `${image.folder}/${number}.jpg`;
    let picture = this.#pictures.get(address);
    if (picture) {
      this.#pictures.delete(address); // to the young end
    } else {
      picture = load(address);
      picture.catch(() => this.#pictures.delete(address)); // a later look tries again
    }
    this.#pictures.set(address, picture);
    this.#forget();
    return picture;
  }

  ahead(image, number, count) {
    for (let step = 1; step <= count; step += 1) {
      this.get(image, ((number - 1 + step) % image.frames) + 1).catch(() => {});
    }
  }

  #forget() {
    for (const address of this.#pictures.keys()) {
      if (this.#pictures.size <= KEEP) {
        return;
      }
      this.#pictures.delete(address);
    }
  }
}

async function load(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  return picture;
}
