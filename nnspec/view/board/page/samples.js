// Rows of the data with what the network says to them: the first ones, and those that it is most wrong about.

import { ask } from "./api.js";
import { el, put } from "./dom.js";
import { GIVEN, Inside, called } from "./part.js";
import { number } from "./text.js";
import { value } from "./values.js";

export class Samples extends Inside {
  path() { return `run/${this.id}/samples`; }
  asks() { return { ...super.asks(), split: this.split || "" }; }

  async fetch() {
    this.seen = this.wanted;
    const about = await ask(`run/${this.id}/about`, super.asks());
    this.context.splitsOf(this.id, about.splits);
    if (this.split && !Object.hasOwn(about.splits, this.split)) this.split = "";
    return super.fetch();
  }

  draw(told) {
    if (this.absent(told)) return;
    const splits = Object.keys(this.context.splits(this.id) || { [told.split]: 1 });
    const pick = splits.length > 1 ? el("label", { class: "picker" }, "Rows of ", el("select", { "data-key": "split", on: { change: (e) => { this.split = e.target.value; this.again(); } } }, splits.map((s) => el("option", { value: s, selected: s === told.split }, called(s))))) : null;
    const wrong = told.worst.filter((s) => s.right === false).length;
    put(this.node, el("div", { class: "controls" }, pick, this.kept(), el("span", { class: "hint" }, `${told.of === 1 ? "1 row" : `${number(told.of)} rows`}; with the ${this.which ? "best weights" : "weights that were saved last"}`)),
      this.group("The largest losses", told.looked < told.of ? `of the first ${number(told.looked)}` : `${wrong ? `${wrong} of these ${told.worst.length} are wrong` : ""}`, told.worst),
      this.group(told.split === GIVEN ? "Your own" : "The first rows", "", told.first));
  }

  group(title, more, samples) {
    if (!samples.length) return null;
    return el("section", { class: "group-of" }, el("h2", {}, title, more ? el("small", {}, more) : null), el("div", { class: "samples" }, samples.map((s) => this.card(s))));
  }

  card(sample) {
    const several = Object.keys(sample.inputs).length > 1;
    const named = (group, title) => Object.entries(group).map(([name, shown]) => el("div", { class: "said-of" }, el("span", { class: "what-of" }, Object.keys(group).length > 1 ? `${title} ${name}` : title), value(shown, 76)));
    return el("button", { type: "button", class: "sample", "data-right": sample.right === null ? null : String(sample.right), title: "look at what layers make of it", on: { click: () => this.context.look(sample.split, sample.row) } },
      el("span", { class: "inputs" }, Object.entries(sample.inputs).map(([name, shown]) => el("span", {}, several ? el("small", {}, name) : null, value(shown, 112)))),
      el("span", { class: "facts" }, named(sample.targets, "right"), named(sample.answers, "said")),
      el("span", { class: "foot" }, sample.label || `${sample.split} ${number(sample.row)}`, sample.loss !== null ? el("b", {}, `loss ${number(sample.loss, 3)}`) : null));
  }
}
