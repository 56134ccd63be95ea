// The picture of the network, with what layers do at the step that was looked at last written into their boxes.

import { picture } from "../picture/picture.js";
import { ask } from "./api.js";
import { el, put } from "./dom.js";
import { Part } from "./part.js";
import { judge } from "./layers.js";
import { number } from "./text.js";

export class Network extends Part {
  path() { return `run/${this.id}/network`; }

  draw(told) {
    const place = el("div", { class: "network" });
    put(this.node, place);
    this.theme = document.documentElement.dataset.dark ? "dark" : "light";
    this.shown = picture(place, told, { wheel: "ctrl", theme: this.theme });
    this.badges = "";
  }

  async look() {
    await super.look();
    if (!this.shown || performance.now() < (this.later || 0)) return;
    const theme = document.documentElement.dataset.dark ? "dark" : "light";
    if (theme !== this.theme) this.shown.setTheme(this.theme = theme);
    this.later = performance.now() + 2000;
    let told;
    try {
      told = (await ask(`run/${this.id}/taps`)).one;
    } catch (error) {
      if (!error.status) throw error;
      return;
    }
    const badges = told ? marks(told) : {};
    const now = JSON.stringify(badges);
    if (now === this.badges) return;
    this.badges = now;
    this.shown.setBadges(badges);
  }

  leave() { if (this.shown) this.shown.destroy(); }
}

/** Badges by layer from one tap. */
function marks(told) {
  const found = Object.create(null);
  for (const [name, layer] of Object.entries(told.layers)) {
    const [a, g] = [layer.activation, layer.gradient];
    if (!a) continue;
    const lines = [`${number(a.mean, 2)} ± ${number(a.std, 2)}${a.zeros > 0.005 ? `, ${Math.round(100 * a.zeros)}% 0` : ""}`];
    if (g) lines.push(`gradient ${number(g.norm, 2)}`);
    const { tone } = judge(layer);
    found[name] = { lines, bars: a.histogram ? a.histogram.counts : undefined, ...(tone ? { tone } : {}) };
  }
  return found;
}
