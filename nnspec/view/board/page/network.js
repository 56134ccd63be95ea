// The picture of the network, with what layers do at the step that was looked at last written into their boxes.

import { picture } from "../picture/picture.js";
import { el, put } from "./dom.js";
import { TAPS, judge, looked } from "./layers.js";
import { Inside, Part, called, sentence } from "./part.js";
import { number } from "./text.js";

export class Network extends Inside {
  path() { return `run/${this.id}/network`; }
  asks() { return {}; }
  due() { return Part.prototype.due.call(this); }

  draw(told) {
    const place = el("div", { class: "network" });
    this.tools = el("div", { class: "controls" });
    put(this.node, this.tools, place);
    put(this.tools, el("span", { class: "legend" }, "Looking into the network …"));
    this.bar = "";
    this.later = 0;
    this.theme = document.documentElement.dataset.dark ? "dark" : "light";
    this.shown = picture(place, told, { wheel: "ctrl", theme: this.theme });
    this.badges = "";
  }

  async look() {
    await super.look();
    if (!this.shown || performance.now() < (this.later || 0)) return;
    const theme = document.documentElement.dataset.dark ? "dark" : "light";
    if (theme !== this.theme) this.shown.setTheme(this.theme = theme);
    this.later = Infinity; // one look at a time
    const began = performance.now();
    const wanted = this.context.which;
    let told = { one: { layers: {} }, why: "" };
    try {
      told = await looked(this);
      this.tapped = told.taps.steps.length > 0;
    } catch (error) {
      if (!error.status) throw error;
      told.why = error.message.split("\n", 1)[0];
    } finally {
      this.later = wanted === this.context.which ? performance.now() + Math.max(2000, 4 * (performance.now() - began)) : 0;
    }
    this.say(told);
    const badges = marks(told.one.layers || {});
    const now = JSON.stringify(badges);
    if (now === this.badges) return;
    this.badges = now;
    this.shown.setBadges(badges);
  }

  again() {
    this.later = this.later === Infinity ? this.later : 0;
    return super.again();
  }

  /** Of what the numbers in the boxes are. */
  say({ one, from, why }) {
    const rows = `${one.rows === 1 ? "1 row" : `${number(one.rows)} rows`} of ${called(one.split)}`;
    const grads = one.loss === null || one.loss === undefined ? "" : ", and the norm of the gradient there";
    const text = why ? sentence(why) : one.absent ? sentence(one.absent)
      : `Mean ± deviation of what each layer makes of ${rows}${grads}: ${from === "taps" ? `as the run saw it at step ${number(one.step)}` : `computed now from the ${this.which ? "best" : "last"} weights, step ${number(one.step)}`}`;
    const now = JSON.stringify([text, this.context.which, this.tapped, (this.context.run(this.id) || {}).best_weights ? 1 : 0]);
    if (now === this.bar) return;
    const focus = this.tools.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    this.bar = now;
    put(this.tools, this.kept(this.tapped ? TAPS : null), el("span", { class: "legend" }, text));
    if (focus) for (const node of this.tools.querySelectorAll("[data-key]")) if (node.dataset.key === focus) node.focus({ preventScroll: true });
  }

  leave() { if (this.shown) this.shown.destroy(); }
}

/** Badges by layer from one tap. */
function marks(layers) {
  const found = Object.create(null);
  for (const [name, layer] of Object.entries(layers)) {
    const [a, g] = [layer.activation, layer.gradient];
    if (!a) continue;
    const lines = [`${number(a.mean, 2)} ± ${number(a.std, 2)}${a.zeros > 0.005 ? `, ${Math.round(100 * a.zeros)}% 0` : ""}`];
    if (g) lines.push(`gradient ${number(g.norm, 2)}`);
    const { tone } = judge(layer);
    found[name] = { lines, bars: a.histogram ? a.histogram.counts : undefined, ...(tone ? { tone } : {}) };
  }
  return found;
}
