// Lights up the line and the syllables of the moment while a sound plays.

const LINGER_MS = 400;

// `lines` are {start, end, element, syllables: [{start, element}]}, times in milliseconds; `scroll` may move to a line.
export function follow(audio, lines, scroll = () => {}) {
  let now = null;
  function show() {
    const at = audio.currentTime * 1000;
    const found = lines.findLast((line) => line.start <= at && at < line.end + LINGER_MS) ?? null;
    if (found !== now) {
      now?.element.removeAttribute("aria-current");
      for (const syllable of now?.syllables ?? []) syllable.element.className = "";
      now = found;
      now?.element.setAttribute("aria-current", "true");
      if (now && !audio.paused) scroll(now.element);
    }
    for (const syllable of now?.syllables ?? []) syllable.element.className = syllable.start <= at ? "heard" : "";
    if (!audio.paused && lines[0].element.isConnected) requestAnimationFrame(show);
  }
  for (const event of ["play", "seeked", "pause", "ended"]) audio.addEventListener(event, show);
}
