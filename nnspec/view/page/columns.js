// Long chains folded into columns, read from left to right. The twin of columns.py, whose docstrings say how.

export const GUTTER = 26; // beside the lanes between columns
const MOST_VALUES = 8; // a fold that would carry more values than this from column to column is not made

/** The rows, with their `[width, height]`, in columns `{rows, segments, enters, leaves}`; `aspect` is null or a page's width over height. */
export function fold(rows, segments, sizes, out, tallest, aspect) {
  const gaps = rows.map(() => []), rowOf = new Map();
  rows.forEach((row, index) => row.forEach((vertex) => rowOf.set(vertex, index)));
  for (const segment of segments) gaps[rowOf.get(segment.upper)].push(segment);
  const carried = gaps.map((gap) => new Set(gap.map((segment) => segment.value)).size);
  const total = sizes.reduce((sum, [, high]) => sum + high, 0), number = Math.round(total / tallest + 0.3);
  const numbers = [];
  if (aspect === null || total <= tallest) numbers.push(number);
  else for (let n = Math.max(1, number - 4); n < number + 5; n++) numbers.push(n);
  let best = null, least = Infinity;
  for (const n of numbers) {
    const cuts = cutsOf(rows, sizes, carried, n), score = extent(cuts, sizes, carried, aspect ?? 1);
    if (score < least) [best, least] = [cuts, score];
  }
  return cut(rows, gaps, out, best ?? []);
}

function extent(cuts, sizes, carried, aspect) {
  const stops = [0, ...cuts.map((at) => at + 1), sizes.length];
  let wide = 0;
  const heights = [];
  for (let i = 0; i + 1 < stops.length; i++) {
    const column = sizes.slice(stops[i], stops[i + 1]);
    wide += column.reduce((most, [w]) => Math.max(most, w), 0) + 2 * GUTTER;
    heights.push(column.reduce((sum, [, h]) => sum + h, 0));
  }
  const high = Math.max(...heights), small = heights.filter((height) => 2 * GUTTER + height < 0.3 * high).length;
  return Math.max(wide / aspect, high) * (1 + 0.15 * cuts.reduce((sum, at) => sum + carried[at] - 1, 0) + 0.1 * small);
}

function cut(rows, gaps, out, cuts) {
  const columns = [];
  let start = 0, enters = [];
  for (const end of [...cuts, rows.length - 1]) {
    const column = { rows: rows.slice(start, end + 1).map((row) => [...row]), segments: gaps.slice(start, end).flat(), enters, leaves: [] };
    if (enters.length) {
      const ports = new Map(enters.map((value) => [value, { kind: "enter", value }]));
      column.rows.unshift([...ports.values()]);
      column.segments.push(...gaps[start - 1].map((segment) => ({ ...segment, upper: ports.get(segment.value) })));
    }
    if (end < rows.length - 1) {
      const position = new Map(rows[end].map((vertex, index) => [vertex, index]));
      const ordered = [...gaps[end]].sort((a, b) => position.get(a.upper) - position.get(b.upper) || out(a) - out(b));
      enters = column.leaves = [...new Set(ordered.map((segment) => segment.value))];
      const ports = new Map(enters.map((value) => [value, { kind: "leave", value }]));
      column.rows.push([...ports.values()]);
      const uppers = new Map(gaps[end].map((segment) => [segment.value, segment.upper]));
      for (const [value, upper] of uppers) column.segments.push({ upper, lower: ports.get(value), value, slot: -1 });
    }
    columns.push(column);
    start = end + 1;
  }
  return columns;
}

function cutsOf(rows, sizes, carried, wanted) {
  if (wanted < 2) return [];
  const before = [0], ports = new Set(), stops = [-1];
  for (const [, high] of sizes) before.push(before[before.length - 1] + high);
  rows.forEach((row, index) => row.length && (row[0].kind === "in" || row[0].kind === "out") && ports.add(index));
  for (let i = 0; i + 1 < rows.length; i++) {
    if (carried[i] > 0 && carried[i] <= MOST_VALUES && !ports.has(i) && !ports.has(i + 1)) stops.push(i);
  }
  stops.push(rows.length - 1);
  const aim = before[rows.length] / wanted, best = stops.map((_, i) => (i ? Infinity : 0)), back = stops.map(() => 0);
  for (let j = 1; j < stops.length; j++) {
    for (let i = j - 1; i >= 0; i--) {
      const height = before[stops[j] + 1] - before[stops[i] + 1];
      const score = best[i] + (height / aim - 1) ** 2 + (j < stops.length - 1 ? 0.1 * carried[stops[j]] : 0);
      if (score < best[j]) [best[j], back[j]] = [score, i];
      if (height > 3 * aim) break;
    }
  }
  const cuts = [];
  for (let at = back[back.length - 1]; at; at = back[at]) cuts.unshift(stops[at]);
  return cuts;
}
