// The words of a song as they are sung: the line and the syllable of the moment, each line a place to jump to.

import { el } from "./dom.js";
import { clock, say } from "./text.js";

// Returns the words of a variant, followed along with the sound of its player; null when nobody sings.
export function sungWords(lines, audio) {
  if (!lines?.length) return null;
  const shown = lines.map((line) => {
    const syllables = line.syllables.map((each) => el("span", {}, each.text));
    const button = el("button", { type: "button", className: "sung-line", "aria-label": say("sung.line", { time: clock(line.start_ms / 1000), text: line.text }) }, ...syllables);
    button.addEventListener("click", () => {
      audio.currentTime = line.start_ms / 1000;
      audio.play().catch(() => {});
    });
    return { line, button, syllables };
  });
  const list = el("ol", { className: "sung" }, ...shown.map(({ button }) => el("li", {}, button)));
  let now = null;

  function show() {
    const at = audio.currentTime * 1000;
    const found = shown.findLast(({ line }) => line.start_ms <= at && at < line.end_ms + 400) ?? null;
    if (found !== now) {
      now?.button.removeAttribute("aria-current");
      for (const syllable of now?.syllables ?? []) syllable.className = "";
      now = found;
      if (now) {
        now.button.setAttribute("aria-current", "true");
        // Only the list moves, never the page around it.
        if (!audio.paused) list.scrollTop = now.button.parentElement.offsetTop - list.offsetTop - list.clientHeight / 3;
      }
    }
    now?.syllables.forEach((syllable, index) => (syllable.className = now.line.syllables[index].start_ms <= at ? "heard" : ""));
    if (!audio.paused && list.isConnected) requestAnimationFrame(show);
  }

  for (const event of ["play", "seeked", "pause", "ended"]) audio.addEventListener(event, show);
  return el("details", { className: "sung-box" }, el("summary", {}, say("sung.head")), list);
}
