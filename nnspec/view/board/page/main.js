// The page as a whole: where the address leads, asking again and again, and what is said when nobody answers.

import { ask, Failed } from "./api.js";
import { theme } from "./colours.js";
import { el, put, say } from "./dom.js";
import { Board } from "./board.js";
import { Listing } from "./listing.js";

const main = document.getElementById("main");
const crumbs = document.getElementById("crumbs");
const link = document.getElementById("link");
let shown = null;
let first = true;
let woken = () => {};

/** #/ lists all runs, #/runs/ID,ID shows some over each other. */
function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/");
  if (shown) shown.leave();
  put(main);
  if (parts[0] === "runs" && parts[1]) shown = new Board(main, crumbs, parts[1].split(",").filter((id) => /^[0-9a-f]{12}$/.test(id)), parts[2]);
  else shown = new Listing(main, crumbs);
  woken();
}

async function start() {
  if (!first || location.hash.length > 2) return;
  first = false;
  const told = await ask("runs");
  if (told.given && told.runs.length && told.runs.length <= 16) location.replace("#/runs/" + told.runs.map((r) => r.id).join(","));
}

async function follow() {
  let failures = 0;
  for (;;) {
    let wait = 1000;
    const own = shown;
    try {
      await start();
      if (own === shown) {
        const began = performance.now();
        wait = await own.look();
        wait = Math.max(wait, 2 * (performance.now() - began)); // a slow machine is not kept busy
      } else wait = 0;
      failures = 0;
      say(link, "");
      link.dataset.state = "";
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      failures += 1;
      wait = Math.min(5000, 1000 * failures);
      if (error.status === 0 || failures > 1) {
        link.dataset.state = "lost";
        say(link, error.status === 0 ? "nnspec view has ended; what was read stays here" : error.message);
      }
      if (error.status && own === shown && own.refused) own.refused(error);
    }
    await Promise.race([
      new Promise((done) => setTimeout(done, document.hidden ? Math.max(wait, 5000) : wait)),
      new Promise((done) => { woken = done; }),
    ]);
  }
}

theme(document.getElementById("theme"), () => { if (shown) shown.repaint(); });
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => { if (!document.hidden) woken(); });
route();
follow().catch((error) => {
  console.error(error);
  add_error(error);
});

function add_error(error) {
  main.prepend(el("p", { class: "banner bad", role: "alert" }, `The page has stopped: ${error.message}. Load it again.`));
}
