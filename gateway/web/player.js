// A sound with a button, its outline to point at, and its time. Only one plays at a time, and those of a group go on
// from each other's moment.

import { clock, say } from "./text.js";
import { drawWave } from "./wave.js";

const STEP_S = 5;
const RENEW_MS = 60000;
let playing = null;

// Stops what plays in the page, and with `all` the player that goes on from page to page too.
export function silence({ all = false } = {}) {
  if (all || !playing?.dataset.stays) playing?.pause();
}

// Signed addresses end after a while: goes on with a fresh one from where the sound stopped. Rejects when that does not help.
async function renewing(audio, renew) {
  const at = audio.currentTime;
  const before = Number(audio.dataset.renewed || -RENEW_MS);
  if (!renew || performance.now() - before < RENEW_MS) throw new Error("not playable");
  audio.dataset.renewed = String(performance.now());
  audio.src = await renew();
  audio.currentTime = at;
  if (audio.dataset.wanted) await audio.play();
}

// Returns the element of a player. `seconds` is used until the sound itself says how long it is; `renew` resolves to a
// fresh address when the present one has ended; players with the same object as `group` share its moment `at`; one that `stays` is not
// silenced with its page.
export function makePlayer({ src, peaks, seconds, name, renew, group, stays = false }) {
  const audio = Object.assign(new Audio(), { preload: "metadata", src });
  if (stays) audio.dataset.stays = "true";
  const wave = drawWave(peaks?.length ? peaks : [0]);
  const button = document.createElement("button");
  const slider = document.createElement("div");
  const time = document.createElement("span");
  const box = document.createElement("div");
  button.type = "button";
  button.className = "play";
  button.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path class="go" d="M8 5.5v13l11-6.5z"/><path class="hold" d="M7.5 5.5h3v13h-3zM13.5 5.5h3v13h-3z"/></svg>';
  slider.className = "wave";
  slider.tabIndex = 0;
  slider.setAttribute("role", "slider");
  slider.setAttribute("aria-label", say("play.position", { name }));
  slider.setAttribute("aria-valuemin", "0");
  slider.append(wave.svg);
  time.className = "time";
  box.className = "playing-box";
  box.append(button, slider, time, audio);

  // A recording of the browser's own has no length in its header.
  const length = () => (Number.isFinite(audio.duration) && audio.duration > 0 ? audio.duration : seconds || 0);
  const show = () => {
    const whole = length();
    button.setAttribute("aria-label", say(audio.paused ? "play.play" : "play.pause", { name }));
    box.classList.toggle("playing", !audio.paused);
    wave.progress(whole ? Math.min(audio.currentTime / whole, 1) : 0);
    time.textContent = `${clock(audio.currentTime)} / ${clock(whole)}`;
    slider.setAttribute("aria-valuemax", String(Math.round(whole)));
    slider.setAttribute("aria-valuenow", String(Math.round(audio.currentTime)));
    slider.setAttribute("aria-valuetext", say("play.time", { at: clock(audio.currentTime), whole: clock(whole) }));
  };
  const seek = (to) => {
    audio.currentTime = Math.min(Math.max(to, 0), Math.max(length() - 0.1, 0));
    if (group) Object.assign(group, { at: audio.currentTime, last: audio });
    show();
  };
  const follow = () => {
    show();
    if (!audio.paused) requestAnimationFrame(follow);
  };

  button.addEventListener("click", () => {
    if (!audio.paused) return audio.pause();
    if (group?.last && group.last !== audio) seek(group.last.paused ? group.at : group.last.currentTime);
    audio.play().catch(show);
  });
  audio.addEventListener("play", () => {
    audio.dataset.wanted = "true"; // a browser pauses what failed before it says so
    if (playing && playing !== audio) playing.pause();
    playing = audio;
    if (group) group.last = audio;
    follow();
  });
  audio.addEventListener("pause", () => audio.error || delete audio.dataset.wanted);
  for (const event of ["pause", "ended", "loadedmetadata", "seeked"]) audio.addEventListener(event, show);
  // After the end the other one begins at the beginning.
  if (group) audio.addEventListener("pause", () => group.last === audio && (group.at = audio.ended ? 0 : audio.currentTime));
  audio.addEventListener("error", () => renewing(audio, renew).catch(() => (time.textContent = say("play.failed"))));
  slider.addEventListener("pointerdown", (event) => {
    const point = (each) => {
      const frame = slider.getBoundingClientRect();
      seek(((each.clientX - frame.left) / frame.width) * length());
    };
    slider.setPointerCapture(event.pointerId);
    slider.addEventListener("pointermove", point);
    slider.addEventListener("pointerup", () => slider.removeEventListener("pointermove", point), { once: true });
    point(event);
  });
  slider.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: audio.currentTime - STEP_S, ArrowRight: audio.currentTime + STEP_S, Home: 0, End: length() }[event.key];
    if (to !== undefined) seek(to);
    else if (event.key === " " || event.key === "Enter") button.click();
    else return;
    event.preventDefault();
  });
  show();
  return box;
}
