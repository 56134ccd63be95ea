// The pieces that edges are drawn with: lines (two points) and cubic curves (four), whose ends are vertical. The twin of strokes.py.

const RADIUS = 9, CIRCLE = 0.5523; // the control points of a quarter circle

/** From `start` straight down to height `leave`, sideways until height `arrive`, straight down to `end`. */
export function bend(start, leave, end, arrive) {
  const [x, top] = start, to = end[0];
  if (Math.abs(x - to) < 0.05) return [[start, end]];
  const middle = (leave + arrive) / 2;
  const strokes = [[[x, leave], [x, middle], [to, middle], [to, arrive]]];
  if (top !== leave) strokes.unshift([[x, top], [x, leave]]);
  if (arrive !== end[1]) strokes.push([[to, arrive], end]);
  return strokes;
}

/** Horizontal and vertical lines through the points, with rounded corners. */
export function cornerPath(points) {
  const pieces = [];
  let here = points[0];
  for (let i = 1; i + 1 < points.length; i++) {
    const [before, corner, after] = [points[i - 1], points[i], points[i + 1]];
    const radius = Math.min(RADIUS, far(before, corner) / 2, far(corner, after) / 2);
    const start = towards(corner, before, radius), end = towards(corner, after, radius);
    pieces.push([here, start], [start, towards(start, corner, radius * CIRCLE), towards(end, corner, radius * CIRCLE), end]);
    here = end;
  }
  pieces.push([here, points[points.length - 1]]);
  return pieces;
}

function far(a, b) {
  return Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]);
}

function towards(a, b, length) {
  const whole = far(a, b);
  return whole ? [a[0] + ((b[0] - a[0]) * length) / whole, a[1] + ((b[1] - a[1]) * length) / whole] : a;
}

/** The stroke shifted by a vector. */
export function moved(stroke, dx, dy) {
  return stroke.map(([x, y]) => [x + dx, y + dy]);
}

/** The strokes with vertical lines that follow one another made one. */
export function joined(strokes) {
  const made = [];
  for (const stroke of strokes) {
    const last = made[made.length - 1];
    const on = last && last.length === 2 && stroke.length === 2 && last[0][0] === stroke[1][0] && last[1][0] === stroke[0][0] && last[1][1] === stroke[0][1];
    if (on) made[made.length - 1] = [last[0], stroke[1]];
    else made.push(stroke);
  }
  return made;
}

/** The strokes as the `d` of an SVG path. */
export function pathData(strokes) {
  let text = "", here = null;
  for (const stroke of strokes) {
    if (!here || here[0] !== stroke[0][0] || here[1] !== stroke[0][1]) text += "M" + point(stroke[0]);
    text += (stroke.length === 2 ? "L" : "C") + stroke.slice(1).map(point).join(" ");
    here = stroke[stroke.length - 1];
  }
  return text;
}

function point([x, y]) {
  return Math.round(x * 10) / 10 + " " + Math.round(y * 10) / 10;
}
