// The two versions of a song side by side: listening, what they are made of, choosing, keeping.

import { el, facts } from "./dom.js";
import { exportPlace } from "./exports.js";
import { makePlayer } from "./player.js";
import { sungWords } from "./sung.js";
import { clock, engineName, has, keyName, say, styleName } from "./text.js";

const MOST_CHORDS = 16;

// Returns the card of a variant; `choose` is called when the person takes it, `renew` for a fresh address of its sound;
// the cards of one song share a `group`, so that one hears both at the same moment.
export function variantCard(variant, track, { choose, renew, group }) {
  const name = say("variant.name", { label: variant.label });
  const chosen = variant.variant_id === track.chosen_variant_id;
  const head = el("h3", { id: `variant-${variant.label}` }, el("span", { className: "letter", "aria-hidden": "true" }, variant.label), el("span", { className: "unseen" }, `${name}: `), styleName(variant.style || track.style));
  const badge = variant.recommended ? el("span", { className: "badge" }, say("variant.recommended")) : null;
  const card = el("article", { className: `card variant ${variant.label.toLowerCase()}${chosen ? " chosen" : ""}`, "aria-labelledby": head.id }, el("header", {}, head, badge ?? ""));
  const player = makePlayer({ src: variant.audio_url, peaks: variant.peaks, seconds: variant.duration_ms / 1000, name: `${track.title} ${variant.label}`, renew: () => renew(variant), group });
  card.append(player);
  card.append(
    facts([
      [say("fact.key"), keyName(variant.key)],
      [say("fact.tempo"), variant.tempo_bpm > 0 ? say("share.tempo", { tempo: Math.round(variant.tempo_bpm) }) : ""],
      [say("fact.score"), say("share.score", { score: Math.round(variant.score * 100) })],
      [say("fact.length"), clock(variant.duration_ms / 1000)],
      [say("fact.engine"), engineName(track.provider, variant.engine)],
    ]),
    // What nobody has measured on a vendor's song is left out rather than shown as nothing.
    variant.melody_score > 0 ? melody(variant) : "",
    variant.chords.length ? chords(variant.chords) : "",
  );
  const remarks = variant.remarks.filter((word) => has(`remark.${word}`)).map((word) => say(`remark.${word}`));
  if (remarks.length) card.append(el("p", { className: "small remarks" }, say("remark.why", { label: variant.label, words: remarks.join(say("list.comma")) })));
  const take = el("button", { type: "button", className: chosen ? "button" : "button quiet", "aria-pressed": String(chosen) }, say(chosen ? "variant.chosen" : "variant.choose", { label: variant.label }));
  take.addEventListener("click", () => choose(variant));
  const save = el("a", { className: "button quiet", href: variant.download_url || variant.audio_url, download: `${track.title} ${variant.label}.mp3`, "aria-label": say("variant.save_label", { label: variant.label }) }, say("variant.save"));
  const midi = variant.midi_url ? el("a", { className: "button quiet", href: variant.midi_url, "aria-label": say("variant.midi_label", { label: variant.label }) }, say("variant.midi")) : "";
  card.append(el("p", { className: "row" }, take, save, midi, variant.engine ? exportPlace(variant, track) : ""));
  const sung = sungWords(variant.lines, player.querySelector("audio"));
  if (sung) card.append(sung);
  if (variant.chord_sheet) card.append(el("details", { className: "chord-sheet" }, el("summary", {}, say("variant.sheet")), el("pre", {}, variant.chord_sheet)));
  return card;
}

function melody(variant) {
  const percent = Math.round(variant.melody_score * 100);
  const meter = el("meter", { min: 0, max: 100, value: percent, low: 40, high: 70, optimum: 100, "aria-label": say("variant.melody") });
  return el("p", { className: "melody", title: say("variant.melody_hint") }, el("span", {}, say("variant.melody")), meter, el("span", { className: "time" }, `${percent}%`));
}

function chords(names) {
  const first = el("ol", { className: "chords", "aria-label": say("fact.chords") }, ...names.slice(0, MOST_CHORDS).map((name) => el("li", {}, name)));
  if (names.length <= MOST_CHORDS) return first;
  first.append(el("li", { className: "rest" }, `+${names.length - MOST_CHORDS}`));
  const rest = names.slice(MOST_CHORDS).map((name) => el("li", {}, name));
  return el("details", { className: "more-chords" }, el("summary", {}, first), el("ol", { className: "chords" }, ...rest));
}
