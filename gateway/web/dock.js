// The player at the foot of the studio: it goes on while one looks elsewhere, and plays the list it was started from.

import { $ } from "./dom.js";
import { makePlayer } from "./player.js";
import { say } from "./text.js";

const current = { id: "", audio: null, list: [] };

// Plays a song ({id, title, src, peaks, seconds, renew, heard}), or holds it when it is the one that plays; `list` goes on after it.
export function playSong(song, list) {
  if (current.id === song.id) return current.audio.paused ? current.audio.play().catch(() => {}) : current.audio.pause();
  current.audio?.pause();
  const player = makePlayer({ ...song, name: song.title, stays: true });
  Object.assign(current, { id: song.id, audio: player.querySelector("audio"), list });
  $("dock-title").textContent = song.title;
  $("dock-player").replaceChildren(player);
  $("dock").hidden = false;
  document.body.classList.add("docked");
  for (const event of ["play", "pause"]) current.audio.addEventListener(event, showPlaying);
  if (song.heard) current.audio.addEventListener("play", (event) => event.target.currentTime < 1 && song.heard());
  current.audio.addEventListener("ended", () => {
    const next = current.list[current.list.findIndex((each) => each.id === song.id) + 1];
    if (next) playSong(next, current.list);
  });
  current.audio.play().catch(showPlaying);
}

// Says on every button of a song whether it plays.
export function showPlaying() {
  const sounds = current.audio && !current.audio.paused;
  for (const button of document.querySelectorAll("[data-song]")) {
    const on = sounds && button.dataset.song === current.id;
    button.classList.toggle("on", on);
    button.setAttribute("aria-label", say(on ? "play.pause" : "play.play", { name: button.dataset.title }));
  }
}

export function beginDock() {
  $("dock-close").addEventListener("click", () => {
    current.audio?.pause();
    Object.assign(current, { id: "", audio: null, list: [] });
    $("dock").hidden = true;
    $("dock-player").replaceChildren();
    document.body.classList.remove("docked");
    showPlaying();
  });
}
