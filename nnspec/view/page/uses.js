// What becomes of values: the layers that make them and those that read them, whichever frames are closed around.

const NAMED = 6; // layers of a side that are named

export class Uses {
  constructor(data) {
    Object.assign(this, { data, known: new Map(), readers: data.values.map(() => []) });
    for (const [value, target] of data.edges) if (!this.readers[value].includes(target)) this.readers[value].push(target);
  }

  /** One value by its number, or several that one edge stands for: `{name, shape, dtype, bytes, from, to}`, the last two lists of paths. */
  of(values) {
    const key = values.join();
    if (!this.known.has(key)) this.known.set(key, this.made(values));
    return this.known.get(key);
  }

  made(values) {
    const all = values.map((value) => this.data.values[value]), several = all.length > 1, [first] = all;
    const from = all.map(([node]) => node), to = values.flatMap((value) => this.readers[value]);
    const dtype = [...new Set(all.map((one) => one[4]))].join(", "), bytes = all.reduce((sum, one) => sum + one[5], 0);
    return { name: several ? "" : first?.[1], shape: several ? `${all.length} values` : first?.[3], dtype, bytes, from: this.named(from), to: this.named(to) };
  }

  named(nodes) {
    const each = [...new Set(nodes)], paths = each.slice(0, NAMED).map((node) => this.data.nodes[node].path);
    return each.length > NAMED ? [...paths, `and ${each.length - NAMED} more`] : paths;
  }
}
