// Numbers, times and states as people read them.

export const STATES = {
  starting: "starting",
  running: "running",
  finished: "finished",
  numbers: "stopped on NaN",
  interrupted: "interrupted",
  failed: "failed",
  dead: "dead",
  saved: "saved model",
  gone: "gone",
};

/** Four digits, and no more zeros than are needed. */
export function number(value, digits = 4) {
  if (typeof value !== "number" || Number.isNaN(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(Math.max(0, digits - 2)).replace(/\.?0+e/, "e").replace("e+", "e");
  return Number(value.toPrecision(digits)).toString();
}

export function bytes(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let n = 0;
  while (value >= 1024 && n < units.length - 1) [value, n] = [value / 1024, n + 1];
  return `${Number(value.toPrecision(digits))} ${units[n]}`;
}

/** 1:02:03, 2:03. */
export function clock(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.round(seconds);
  const pad = (v) => String(v).padStart(2, "0");
  const [h, m] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)];
  return h ? `${h}:${pad(m)}:${pad(s % 60)}` : `${m}:${pad(s % 60)}`;
}

/** A short time: 1.2 ms, 3.4 s. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds >= 100) return clock(seconds);
  const [size, unit] = seconds >= 1 ? [1, "s"] : seconds >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
  return `${Number((seconds * size).toPrecision(3))} ${unit}`;
}

export function ago(at) {
  if (!at) return "";
  const s = Math.max(0, Date.now() / 1000 - at);
  if (s < 5) return "just now";
  if (s < 90) return `${Math.round(s)} s ago`;
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 129600) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86400)} days ago`;
}

/** How the values of a panel are written. */
export function unit(metric) {
  if (metric === "memory") return (value) => bytes(value, 4);
  if (metric === "pace" || metric === "took") return span;
  return (value) => number(value);
}

const TITLES = { rate: "learning rate", pace: "time a step", speed: "rows a second", memory: "memory of the process", took: "time an epoch, with validation" };

/** What stands above a panel. */
export const title = (metric) => (Object.hasOwn(TITLES, metric) ? TITLES[metric] : metric.replaceAll("_", " "));
