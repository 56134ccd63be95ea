// What becomes of each value: the layer that makes it and those that read it, whichever frames are closed around them.

const READERS = 6; // readers that are named

export class Uses {
  constructor(data) {
    Object.assign(this, { data, known: new Map(), readers: data.values.map(() => []) });
    for (const [value, target] of data.edges) if (!this.readers[value].includes(target)) this.readers[value].push(target);
  }

  /** A value by its number: `{name, shape, dtype, bytes, from, to}`, the last two as paths. */
  of(value) {
    if (!this.known.has(value)) this.known.set(value, this.made(value));
    return this.known.get(value);
  }

  made(value) {
    const [node, name, , shape, dtype, bytes] = this.data.values[value], { nodes } = this.data, readers = this.readers[value];
    const to = readers.slice(0, READERS).map((reader) => nodes[reader].path);
    if (readers.length > READERS) to.push(`and ${readers.length - READERS} more`);
    return { name, shape, dtype, bytes, from: nodes[node].path, to };
  }
}
