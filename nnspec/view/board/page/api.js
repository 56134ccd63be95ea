// Asks the server; an answer that has not changed is not sent again.

const marks = new Map();
const LARGEST = 1 << 24; // bytes of an image

export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The answer to api/PATH as JSON. Throws Failed, with status 0 where nobody answers. */
export async function ask(path, query = {}) {
  const parts = Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== "");
  const url = "api/" + path + (parts.length ? "?" + new URLSearchParams(parts) : "");
  const held = marks.get(url);
  let answer;
  try {
    answer = await fetch(url, { headers: held ? { "If-None-Match": held.mark } : {}, cache: "no-store", credentials: "omit" });
  } catch {
    throw new Failed(0, "The server does not answer.");
  }
  if (answer.status === 304 && held) return held.content;
  let content;
  try {
    content = await answer.json();
  } catch {
    throw new Failed(answer.status, answer.status === 404 ? "The server was started anew, with another key." : `The server answered ${answer.status}.`);
  }
  if (!answer.ok) throw new Failed(answer.status, content.error || `The server answered ${answer.status}.`);
  const mark = answer.headers.get("etag");
  if (mark && !url.startsWith("api/curves")) {
    marks.set(url, { mark, content });
    if (marks.size > 60) marks.delete(marks.keys().next().value);
  }
  return content;
}

/** Hands an image of one's own to the server. Throws Failed. */
export async function give(file) {
  if (file.size > LARGEST) throw new Failed(413, `${file.name} is larger than ${LARGEST >> 20} MiB.`);
  let answer;
  try {
    answer = await fetch("api/own?" + new URLSearchParams({ name: file.name.slice(0, 200) }), { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" }, cache: "no-store", credentials: "omit" });
  } catch {
    throw new Failed(0, "The image could not be handed over.");
  }
  if (answer.ok) return;
  const text = await answer.text();
  let told = text;
  try { told = JSON.parse(text).error; } catch { /* a line */ }
  throw new Failed(answer.status, told);
}
