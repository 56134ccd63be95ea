// The whole picture in a corner, with the part in view framed; a press or drag there moves the view.

import { html } from "./dom.js";

const WIDE = 180, HIGH = 130;

export class Minimap {
  constructor(camera, colour) {
    Object.assign(this, { camera, colour, scale: 1 });
    this.canvas = html("canvas", { "aria-hidden": "true" });
    this.frame = html("i");
    this.element = html("div", { class: "minimap", hidden: true }, this.canvas, this.frame);
    const move = (event) => {
      const box = this.canvas.getBoundingClientRect(), { width, height } = camera.size;
      const x = (event.clientX - box.left) / this.scale, y = (event.clientY - box.top) / this.scale;
      camera.set(width / 2 - x * camera.k, height / 2 - y * camera.k, camera.k);
    };
    this.element.addEventListener("pointerdown", (event) => {
      this.element.setPointerCapture(event.pointerId);
      move(event);
    });
    this.element.addEventListener("pointermove", (event) => this.element.hasPointerCapture(event.pointerId) && move(event));
  }

  /** Draws a layout; `family(index)` names the colour of a layer. */
  draw(picture, family) {
    this.picture = picture;
    this.scale = Math.min(WIDE / picture.width, HIGH / picture.height);
    const ratio = window.devicePixelRatio || 1, width = Math.max(1, picture.width * this.scale), height = Math.max(1, picture.height * this.scale);
    Object.assign(this.canvas, { width: Math.ceil(width * ratio), height: Math.ceil(height * ratio) });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    const pen = this.canvas.getContext("2d");
    pen.scale(this.scale * ratio, this.scale * ratio);
    const fill = (box, name) => {
      pen.fillStyle = this.colour(name);
      pen.fillRect(box.x, box.y, Math.max(box.width, 1.5 / this.scale), Math.max(box.height, 1.2 / this.scale));
    };
    for (const box of picture.frames.values()) fill(box, "--shade-map");
    for (const [index, box] of picture.nodes) fill(box, `--line-${family(index)}`);
    for (const box of picture.closed.values()) fill(box, "--stack-line");
    this.follow();
  }

  /** Frames what is in view; hidden where that is everything. */
  follow() {
    if (!this.picture) return;
    const { x, y, k, size } = this.camera, { width, height } = this.picture, s = this.scale;
    const all = x >= -2 && y >= -2 && x + width * k <= size.width + 2 && y + height * k <= size.height + 2;
    this.element.hidden = all || size.width < 480;
    const left = Math.max(0, (-x / k) * s), top = Math.max(0, (-y / k) * s);
    const right = Math.min(width * s, ((size.width - x) / k) * s), bottom = Math.min(height * s, ((size.height - y) / k) * s);
    Object.assign(this.frame.style, { left: `${left}px`, top: `${top}px`, width: `${Math.max(3, right - left)}px`, height: `${Math.max(3, bottom - top)}px` });
  }
}
