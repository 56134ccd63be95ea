// Where each vertex of ordered rows stands from left to right. The twin of place.py, whose docstring says how.

const ROUNDS = 24, THIN_PULL = 0.15; // a passing edge pulls this much where a layer pulls 1

/**
 * The left side of every vertex, as a Map; neighbours of a row keep at least `apart` between them; the least is 0.
 * A wire is `{segment: {upper, lower}, out, into}`: a segment with the distances of its ends from the left sides of its vertices.
 */
export function place(rows, wires, width, apart) {
  const { blocks, home, offset } = blocksOf(rows, straight(rows, wires));
  for (const row of rows) {
    for (let i = 0; i + 1 < row.length; i++) {
      const [left, right] = [row[i], row[i + 1]];
      const distance = width(left) + apart(left, right) + offset.get(left) - offset.get(right);
      const a = home.get(left), b = home.get(right);
      const most = Math.max(blocks[a].right.get(b) ?? distance, distance);
      blocks[a].right.set(b, most);
      blocks[b].left.set(a, most);
    }
  }
  for (const { segment, out, into } of wires) {
    const { upper, lower } = segment, u = home.get(upper), v = home.get(lower);
    if (u === v) continue;
    const shift = offset.get(upper) + out - offset.get(lower) - into, weight = thin(upper) || thin(lower) ? THIN_PULL : 1;
    blocks[v].pulls.push([u, shift, weight]);
    blocks[u].pulls.push([v, -shift, weight]);
  }
  const x = settle(blocks), places = new Map();
  let least = Infinity;
  for (const row of rows) {
    for (const vertex of row) {
      const at = x[home.get(vertex)] + offset.get(vertex);
      places.set(vertex, at);
      least = Math.min(least, at);
    }
  }
  for (const [vertex, at] of places) places.set(vertex, at - least);
  return places;
}

/** Which of the vertices on one side, in their order, the main way goes to: the middle one, or null. */
export function mainWay(ends) {
  const thick = [];
  ends.forEach((vertex, index) => thin(vertex) || thick.push(index));
  return thick.length % 2 ? thick[(thick.length - 1) / 2] : null;
}

function thin(vertex) {
  return vertex.kind === "pass";
}

function straight(rows, wires) {
  const position = new Map(), rowOf = new Map(), up = new Map(), down = new Map();
  rows.forEach((row, r) => row.forEach((vertex, i) => (position.set(vertex, i), rowOf.set(vertex, r))));
  for (const wire of wires) {
    grouped(down, wire.segment.upper).push(wire);
    grouped(up, wire.segment.lower).push(wire);
  }
  for (const side of down.values()) side.sort((a, b) => position.get(a.segment.lower) - position.get(b.segment.lower) || a.into - b.into);
  for (const side of up.values()) side.sort((a, b) => position.get(a.segment.upper) - position.get(b.segment.upper) || a.out - b.out);
  const wishes = [];
  wires.forEach((wire, index) => {
    const wish = wishOf(wire, down.get(wire.segment.upper), up.get(wire.segment.lower));
    if (wish !== null) wishes.push([wish, index]);
  });
  wishes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const takenDown = new Set(), takenUp = new Set(), kept = new Map(), accepted = [];
  for (const [, index] of wishes) {
    const wire = wires[index], { upper, lower } = wire.segment;
    if (takenDown.has(upper) || takenUp.has(lower)) continue;
    const a = position.get(upper), b = position.get(lower), near = grouped(kept, rowOf.get(upper));
    if (near.some(([c, d]) => (c < a && d > b) || (c > a && d < b))) continue;
    near.push([a, b]);
    takenDown.add(upper);
    takenUp.add(lower);
    accepted.push(wire);
  }
  return accepted;
}

function wishOf(wire, below, above) {
  const { upper, lower } = wire.segment;
  if (thin(upper) && thin(lower)) return 0;
  const lowers = below.map((w) => w.segment.lower), uppers = above.map((w) => w.segment.upper);
  if (thin(upper) || thin(lower)) return (thin(lower) ? lowers : uppers).every(thin) ? 2 : null;
  const [onward, back] = [mainWay(lowers), mainWay(uppers)];
  return onward !== null && back !== null && below[onward] === wire && above[back] === wire ? 1 : null;
}

function grouped(map, key) {
  if (!map.has(key)) map.set(key, []);
  return map.get(key);
}

function blocksOf(rows, wires) {
  const above = new Map(wires.map((wire) => [wire.segment.lower, wire]));
  const blocks = [], home = new Map(), offset = new Map();
  for (const row of rows) {
    for (const vertex of row) {
      const wire = above.get(vertex);
      if (wire) {
        home.set(vertex, home.get(wire.segment.upper));
        offset.set(vertex, offset.get(wire.segment.upper) + wire.out - wire.into);
      } else {
        home.set(vertex, blocks.length);
        offset.set(vertex, 0);
        blocks.push({ left: new Map(), right: new Map(), pulls: [] });
      }
    }
  }
  return { blocks, home, offset };
}

function settle(blocks) {
  const order = leftToRight(blocks), back = [...order].reverse();
  const least = (block, x, none) => {
    let most = blocks[block].left.size ? -Infinity : none; // offsets can make a distance negative
    for (const [other, far] of blocks[block].left) most = Math.max(most, x[other] + far);
    return most;
  };
  const most = (block, x, none) => {
    let least = blocks[block].right.size ? Infinity : none;
    for (const [other, far] of blocks[block].right) least = Math.min(least, x[other] - far);
    return least;
  };
  const x = blocks.map(() => 0);
  for (const block of order) x[block] = least(block, x, 0);
  const widest = x.reduce((a, b) => Math.max(a, b), 0), ends = blocks.map(() => widest);
  for (const block of back) ends[block] = most(block, ends, widest);
  for (const block of order) x[block] = (x[block] + ends[block]) / 2;
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const block of turn % 2 ? order : back) {
      let sum = 0, weights = 0;
      for (const [other, shift, weight] of blocks[block].pulls) {
        sum += (x[other] + shift) * weight;
        weights += weight;
      }
      if (weights) x[block] = Math.max(least(block, x, -Infinity), Math.min(sum / weights, most(block, x, Infinity)));
    }
  }
  return x;
}

function leftToRight(blocks) {
  const waiting = blocks.map((block) => block.left.size), ready = [];
  blocks.forEach((block, index) => block.left.size || ready.push(index));
  for (let i = 0; i < ready.length; i++) {
    for (const other of blocks[ready[i]].right.keys()) if (!--waiting[other]) ready.push(other);
  }
  return ready;
}
