// The words of a song as they are sung: the line and the syllable of the moment, each line a place to jump to.

import { el } from "./dom.js";
import { follow } from "./follow.js";
import { clock, say } from "./text.js";

// Returns the words of a variant, followed along with the sound of its player; null when nobody sings.
export function sungWords(lines, audio) {
  if (!lines?.length) return null;
  const shown = lines.map((line) => {
    const syllables = line.syllables.map((each) => ({ start: each.start_ms, element: el("span", {}, each.text) }));
    const element = el("button", { type: "button", className: "sung-line", "aria-label": say("sung.line", { time: clock(line.start_ms / 1000), text: line.text }) }, ...syllables.map((each) => each.element));
    element.addEventListener("click", () => {
      audio.currentTime = line.start_ms / 1000;
      audio.play().catch(() => {});
    });
    return { start: line.start_ms, end: line.end_ms, element, syllables };
  });
  const list = el("ol", { className: "sung" }, ...shown.map(({ element }) => el("li", {}, element)));
  // Only the list moves, never the page around it.
  follow(audio, shown, (line) => (list.scrollTop = line.parentElement.offsetTop - list.clientHeight / 3));
  return el("details", { className: "sung-box" }, el("summary", {}, say("sung.head")), list);
}
