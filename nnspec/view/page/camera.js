// Where one looks: pan and zoom by pointer, wheel and pinch, and gliding from one place to another.

export const NARROW = 600; // pixels of a view in which nothing is folded into columns, and nothing kept free
const BUTTONS = 66; // of a wider one, at its right side, that the buttons take
const LEAST = 0.03, MOST = 4, STILL = 5; // pixels that a press may wander and still be a click

export class Camera {
  /** `onMove` hears of every change, `onTaken` of those by hand; `bounds()` gives the picture's size, so that it is never lost out of sight. */
  constructor(view, world, { onMove, onTaken, bounds, wheel = "zoom" }) {
    Object.assign(this, { view, world, onMove, onTaken, bounds, wheel, x: 0, y: 0, k: 1, pointers: new Map(), wandered: 0 });
    view.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    view.addEventListener("pointerdown", (event) => this.down(event));
    view.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, (event) => this.up(event));
  }

  /** How large the view is; read once, and again after `measure`. */
  get size() {
    return (this.measured ??= { width: this.view.clientWidth || 1, height: this.view.clientHeight || 1 });
  }

  measure() {
    this.measured = null;
  }

  set(x, y, k) {
    const { width, height } = this.size, all = this.bounds();
    this.k = Math.min(MOST, Math.max(Math.min(LEAST, 0.9 * Math.min(width / all.width, height / all.height)), k));
    const keep = 80; // pixels of the picture that stay in view
    this.x = Math.min(width - keep, Math.max(keep - all.width * this.k, x));
    this.y = Math.min(height - keep, Math.max(keep - all.height * this.k, y));
    this.world.setAttribute("transform", `translate(${this.x.toFixed(2)} ${this.y.toFixed(2)}) scale(${this.k.toFixed(4)})`);
    this.onMove?.();
  }

  /** Glides there; where motion is not wanted, jumps. */
  go(x, y, k = this.k, at = performance.now()) {
    cancelAnimationFrame(this.gliding);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || document.hidden;
    if (still) return this.set(x, y, k);
    const from = [this.x, this.y, this.k], step = (now) => {
      const t = Math.min(1, Math.max(0, (now - at) / 220)), s = 1 - (1 - t) ** 3;
      this.set(...[x, y, k].map((to, i) => from[i] + (to - from[i]) * s));
      if (t < 1) this.gliding = requestAnimationFrame(step);
    };
    this.gliding = requestAnimationFrame(step);
  }

  /** Zooms by a factor about a point of the view, by default its middle. */
  zoom(factor, px = this.size.width / 2, py = this.size.height / 2, glide = false) {
    this.onTaken?.();
    const k = Math.min(MOST, Math.max(LEAST, this.k * factor)), f = k / this.k;
    this[glide ? "go" : "set"](px - (px - this.x) * f, py - (py - this.y) * f, k);
  }

  /** The whole picture, no larger than `most`, beside the buttons for zooming. */
  whole(most = 1.15, margin = 28, all = this.bounds()) {
    const { width, height } = this.size, beside = width < NARROW ? margin : BUTTONS;
    const k = Math.min(most, (width - margin - beside) / all.width, (height - 2 * margin) / all.height);
    return [Math.min((width - all.width * k) / 2, width - beside - all.width * k), Math.max((height - all.height * k) / 2, Math.min(margin, (height - all.height * k) / 2)), k];
  }

  /** Brings a box of the picture into view, to its middle where it was out of it, at a scale of `least` at least. */
  show(box, least = 0) {
    const { width, height } = this.size, k = Math.max(this.k, least), margin = Math.min(40, height / 8);
    const x = this.x + box.x * this.k, y = this.y + box.y * this.k;
    const inside = x >= margin && y >= margin && x + box.width * this.k <= width - margin && y + box.height * this.k <= height - margin;
    if (inside && k === this.k) return;
    this.onTaken?.();
    const wide = Math.min(box.width, (width - 2 * margin) / k), high = Math.min(box.height, (height - 2 * margin) / k);
    this.go(width / 2 - (box.x + wide / 2) * k, height / 2 - (box.y + high / 2) * k, k);
  }

  wheeled(event) {
    if (this.wheel === "ctrl" && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    cancelAnimationFrame(this.gliding);
    const unit = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 300 : 1, [px, py] = this.point(event);
    if (event.shiftKey) this.set(this.x - (event.deltaX + event.deltaY) * unit, this.y, this.k);
    else this.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * unit)) * (event.ctrlKey ? 0.01 : 0.0016)), px, py);
  }

  point(event) {
    const box = this.view.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.pointerType === "mouse" && event.button !== 0 && event.button !== 1) return;
    cancelAnimationFrame(this.gliding);
    this.pointers.set(event.pointerId, this.point(event));
    if (this.pointers.size === 1) this.wandered = 0;
  }

  drag(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const before = this.grip();
    const [px, py] = this.pointers.get(event.pointerId), now = this.point(event);
    this.pointers.set(event.pointerId, now);
    this.wandered += Math.abs(now[0] - px) + Math.abs(now[1] - py);
    if (this.wandered < STILL && this.pointers.size < 2) return;
    if (!this.view.hasPointerCapture(event.pointerId)) this.view.setPointerCapture(event.pointerId);
    this.view.classList.add("dragged");
    this.onTaken?.();
    const after = this.grip(), f = before.far && after.far ? after.far / before.far : 1;
    const k = Math.min(MOST, Math.max(LEAST, this.k * f)), real = k / this.k;
    this.set(after.x - (before.x - this.x) * real, after.y - (before.y - this.y) * real, k);
  }

  grip() {
    const all = [...this.pointers.values()].slice(0, 2), [a, b] = all;
    if (!b) return { x: a[0], y: a[1], far: 0 };
    return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, far: Math.hypot(a[0] - b[0], a[1] - b[1]) };
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.view.classList.remove("dragged");
  }

  /** Whether the press that just ended moved the picture. */
  get moved() {
    return this.wandered >= STILL;
  }
}
