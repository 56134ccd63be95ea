// From afar: the names of frames in letters that can be read, as many as there is room for, outer frames first.

import { shorten, wide } from "./cards.js";
import { svg } from "./dom.js";

const FAR = 0.42, SIZE = 11.5, APART = 4; // below this scale names are written anew, so many pixels high, so far apart

export class Signs {
  constructor(data, view, camera) {
    Object.assign(this, { data, view, camera });
    this.element = svg("g", { class: "signs", "aria-hidden": "true" });
    view.append(this.element);
  }

  /** Writes them once the view has come to rest; takes them away where there is no picture to write them on. */
  later(picture) {
    this.picture = picture;
    const far = Boolean(picture) && this.camera.k < FAR;
    this.view.classList.toggle("far", far);
    clearTimeout(this.waiting);
    if (this.written) this.element.replaceChildren();
    this.written = false;
    if (far) this.waiting = setTimeout(() => this.write(), 90);
  }

  write() {
    const { x, y, k, size } = this.camera, taken = [], made = [];
    const boxes = [...this.picture.frames, ...this.picture.closed].map(([index, box]) => [index, box.x * k + x, box.y * k + y, box.width * k, box.height * k]);
    boxes.sort((a, b) => b[3] * b[4] - a[3] * a[4]);
    for (const [index, left, top, width, height] of boxes) {
      if (width < 34 || height < 18 || left > size.width || top > size.height || left + width < 0 || top + height < 0) continue;
      const text = shorten(this.data.frames[index].label, width - 6, "label");
      const spot = { x: left + 4, y: top + 2, w: wide(text, "label"), h: SIZE + APART };
      if (text !== this.data.frames[index].label && this.data.frames[index].frame >= 0) continue;
      if (taken.some((other) => spot.x < other.x + other.w + APART && other.x < spot.x + spot.w + APART && spot.y < other.y + other.h && other.y < spot.y + spot.h)) continue;
      taken.push(spot);
      made.push(svg("text", { x: spot.x.toFixed(1), y: (spot.y + SIZE).toFixed(1), "font-size": SIZE }, text));
    }
    this.element.replaceChildren(...made);
    this.written = true;
  }
}
