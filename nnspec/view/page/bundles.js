// Values that go the same way from one closed frame to others are drawn as one edge: of a program hundreds lead from a stage to the next.

const MANY = 4; // fewer stand each for itself

/** A container's `{rows, segments}` as they are drawn, and `groups`: a Map from closed frames to their outputs, of each all values that it stands for. */
export function bundled({ rows, segments }, isOpen) {
  const origins = new Map(), ends = new Map(), shut = (vertex) => vertex.kind === "frame" && !isOpen(vertex);
  for (const { upper, lower, value } of segments) {
    if (upper.kind !== "pass") origins.set(value, upper);
    if (lower.kind !== "pass") ends.set(value, [...(ends.get(value) ?? []), lower]);
  }
  const alike = new Map(), groups = new Map(), spare = new Set();
  for (const [value, origin] of origins) {
    if (!shut(origin)) continue;
    const way = ends.get(value).every(shut) ? `${origin.id} to ${ends.get(value).map((end) => end.id).sort().join()}` : `value ${value}`;
    alike.set(way, [...(alike.get(way) ?? []), value]);
  }
  for (const values of alike.values()) {
    const parts = values.length < MANY ? values.map((value) => [value]) : [values], origin = origins.get(values[0]);
    groups.set(origin, [...(groups.get(origin) ?? []), ...parts]);
    for (const [, ...others] of parts) for (const value of others) spare.add(value);
  }
  if (!spare.size) return { rows, segments, groups };
  const kept = rows.map((row) => row.filter((vertex) => vertex.kind !== "pass" || !spare.has(vertex.ref))).filter((row) => row.length);
  return { rows: kept, segments: segments.filter(({ value }) => !spare.has(value)), groups };
}
