// A variant taken apart: asked for by a button, made while one waits, then two addresses to save from.

import { callPatiently } from "./api.js";
import { createExport, getExport } from "./client.js";
import { el } from "./dom.js";
import { say } from "./text.js";

const LOOK_MS = 1000;
const MOST_LOOKS = 300;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Returns a place in which a button asks for wav and stems and gives way to the links.
export function exportPlace(variant, track) {
  const place = el("span", { className: "row export" });
  const ask = el("button", { type: "button", className: "button quiet", "aria-label": say("export.ask_label", { label: variant.label }) }, say("export.ask"));
  const told = el("span", { className: "small", role: "status" });
  place.append(ask, told);
  ask.addEventListener("click", async () => {
    ask.disabled = true;
    told.textContent = say("export.making");
    try {
      place.replaceChildren(...links(await finished(variant, track), variant));
    } catch (error) {
      told.textContent = error.message || say("export.failed");
      ask.disabled = false;
    }
  });
  return place;
}

// Resolves to the export once it is ready; throws when it failed or takes too long.
async function finished(variant, track) {
  let { export: made } = await callPatiently(createExport({ track_id: track.track_id, variant_id: variant.variant_id }));
  for (let looks = 0; made.state === "generating" && looks < MOST_LOOKS; looks++) {
    await pause(LOOK_MS);
    ({ export: made } = await callPatiently(getExport({ export_id: made.export_id })));
  }
  if (made.state !== "ready") throw new Error(say("export.failed"));
  return made;
}

function links(made, variant) {
  return [
    el("a", { className: "button quiet", href: made.wav_url, "aria-label": say("export.wav_label", { label: variant.label }) }, say("export.wav")),
    el("a", { className: "button quiet", href: made.stems_url, "aria-label": say("export.stems_label", { label: variant.label }), title: made.stems.join(", ") }, say("export.stems", { count: made.stems.length })),
  ];
}
