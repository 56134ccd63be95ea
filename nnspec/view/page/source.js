// The lines of YAML that an entry was written in, with their numbers and those around them.

import { html, plain } from "./dom.js";

const AROUND = 150; // lines shown before and after

/** A scrolling excerpt of a file whose lines `first` to `last` are marked; `show` scrolls to them. */
export function excerpt(file, first, last) {
  const lines = file.text.split(/\r\n|\r|\n/), from = Math.max(1, first - AROUND), to = Math.min(lines.length, last + AROUND);
  const rows = [];
  for (let number = from; number <= to; number++) {
    const marked = number >= first && number <= last;
    const row = html("span", { class: marked ? "line marked" : "line", "data-line": number }, html("i", { "aria-hidden": "true" }, String(number)));
    row.append(html("code", {}, ...coloured(plain(lines[number - 1]))));
    rows.push(row);
  }
  const wide = String(to).length;
  const element = html("pre", { class: "yaml", tabindex: 0, role: "region", "aria-label": `${plain(file.name)}, lines ${first} to ${last}` }, rows);
  element.style.setProperty("--digits", String(wide));
  return element;
}

/** Scrolls an excerpt so that its first marked line stands a little below the top. */
export function toMarked(element) {
  const row = element.querySelector(".marked");
  if (row) element.scrollTop = Math.max(0, row.offsetTop - element.clientHeight / 3);
}

/** A line in pieces: keys, values of variables and comments stand out a little. */
function coloured(line) {
  const comment = commentAt(line), code = comment < 0 ? line : line.slice(0, comment), pieces = [];
  const pattern = /([A-Za-z_][\w-]*)(?=\s*:(?:\s|$))|(\$\([^)]*\)|\$[A-Za-z_]\w*)|("[^"]*"|'[^']*')/g;
  let end = 0;
  for (const match of code.matchAll(pattern)) {
    pieces.push(code.slice(end, match.index), html("b", { class: match[1] ? "key" : match[2] ? "variable" : "string" }, match[0]));
    end = match.index + match[0].length;
  }
  pieces.push(code.slice(end));
  if (comment >= 0) pieces.push(html("b", { class: "comment" }, line.slice(comment)));
  return pieces.filter((piece) => piece !== "");
}

function commentAt(line) {
  let quote = "";
  for (let i = 0; i < line.length; i++) {
    if (quote) quote = line[i] === quote ? "" : quote;
    else if ((line[i] === '"' || line[i] === "'") && (i === 0 || " [{,:".includes(line[i - 1]))) quote = line[i];
    else if (line[i] === "#" && (i === 0 || line[i - 1] === " ")) return i;
  }
  return -1;
}
