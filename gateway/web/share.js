// What the page of a song adds where scripts run: the outline fills as one listens and can be pointed at, the link can be copied.

import { playShare, resolveShare } from "./client.js";
import { follow } from "./follow.js";

const sound = document.querySelector("audio");
const wave = document.querySelector(".wave");
const heard = wave?.querySelector("rect");

// The signed address ends after a while: goes on with a fresh one from where the sound stopped, but not for ever.
let renewed = -60000;
let wanted = false; // a browser pauses what failed before it says so
sound?.addEventListener("play", () => (wanted = true));
sound?.addEventListener("pause", () => (wanted = wanted && Boolean(sound.error)));
sound?.addEventListener("error", async () => {
  const { code, ticket } = document.body.dataset;
  if (performance.now() - renewed < 60000) return;
  renewed = performance.now();
  const at = sound.currentTime;
  const answer = await fetch(resolveShare({ share_code: code, ...(ticket && { ticket }) }).path).catch(() => null);
  if (!answer?.ok) return;
  sound.src = (await answer.json()).data.shared_track.audio_url;
  sound.currentTime = at;
  if (wanted) sound.play().catch(() => {});
});

// Counted once for a listening; the other side knows whether it is one.
sound?.addEventListener("play", () => {
  if (sound.currentTime > 1) return;
  const { code, ticket } = document.body.dataset;
  const { method, path, body } = playShare({ share_code: code, ...(ticket && { ticket }) });
  fetch(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}), keepalive: true }).catch(() => {});
});

if (sound && heard) {
  const width = wave.viewBox.baseVal.width;
  const fill = () => {
    if (sound.duration) heard.setAttribute("width", (sound.currentTime / sound.duration) * width);
    if (!sound.paused) requestAnimationFrame(fill);
  };
  for (const event of ["play", "pause", "seeked", "ended"]) sound.addEventListener(event, fill);
  wave.classList.add("live");
  wave.addEventListener("click", (event) => {
    const frame = wave.getBoundingClientRect();
    if (sound.duration) sound.currentTime = ((event.clientX - frame.left) / frame.width) * sound.duration;
    fill();
  });
}

const timed = document.querySelector(".timed");
if (sound && timed) {
  const lines = [...timed.children].map((line) => {
    // A place to jump to, for the keyboard too; without scripts the line stays text.
    const element = document.createElement("button");
    element.type = "button";
    element.append(...line.childNodes);
    line.append(element);
    element.addEventListener("click", () => {
      sound.currentTime = Number(line.dataset.at) / 1000;
      sound.play().catch(() => {});
    });
    const syllables = [...element.children].map((each) => ({ start: Number(each.dataset.at), element: each }));
    return { start: Number(line.dataset.at), end: Number(line.dataset.end), element, syllables };
  });
  follow(sound, lines);
}

const copy = document.getElementById("copy");
if (copy && navigator.clipboard) {
  const words = copy.textContent;
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector('link[rel="canonical"]').href);
    copy.textContent = copy.dataset.done;
    setTimeout(() => (copy.textContent = words), 1600);
  });
}
