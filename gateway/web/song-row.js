// One song in a list: its cover, which plays it, its title as a link, and what else the list has to say.

import { playSong } from "./dock.js";
import { el } from "./dom.js";

const ICON = '<svg viewBox="0 0 24 24" aria-hidden="true"><path class="go" d="M8 5.5v13l11-6.5z"/><path class="hold" d="M7.5 5.5h3v13h-3zM13.5 5.5h3v13h-3z"/></svg>';

// Rows without words, as high as those that are on their way, so that nothing moves when they come.
export const skeletons = (count) => Array.from({ length: count }, () => el("li", { className: "skeleton", "aria-hidden": "true" }, el("span", { className: "no-cover" }), el("span", { className: "track" })));

// `song` is what the dock plays, null for what cannot be heard; `list` returns the songs to go on with; `href` null for no link.
export function songRow({ title, words, cover, song, list, href, target = "", aside = [] }) {
  const picture = cover ? el("img", { src: cover, alt: "", width: 56, height: 56, loading: "lazy" }) : el("span", { className: "no-cover", "aria-hidden": "true" });
  let place = picture;
  if (song) {
    place = el("button", { type: "button", className: "cover-play", "data-song": song.id, "data-title": title }, picture);
    place.insertAdjacentHTML("beforeend", ICON);
    place.addEventListener("click", () => playSong(song, list()));
  }
  const inside = [el("span", { className: "track-words" }, el("strong", { dir: "auto" }, title), el("span", { className: "small" }, words)), ...aside];
  const link = href === null ? el("span", { className: "track" }, ...inside) : el("a", { className: "track", href, ...(target ? { target, rel: "noopener" } : {}) }, ...inside);
  return el("li", {}, place, link);
}
