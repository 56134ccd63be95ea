// Shows the data that the document carries.

import { picture } from "./picture.js";

picture(document.getElementById("picture"), JSON.parse(document.getElementById("data").textContent), { hash: true });
document.documentElement.dataset.ready = "yes";
