// The person's own songs, the newest first, a page at a time.

import { call } from "./api.js";
import { $, el } from "./dom.js";
import { locale, say, styleName } from "./text.js";

const PAGE = 8;
let tracks = [];
let token = "";

export async function loadTracks({ more = false } = {}) {
  const query = new URLSearchParams({ page_size: String(PAGE), ...(more && token ? { page_token: token } : {}) });
  const page = await call("GET", `/api/v1/tracks?${query}`);
  tracks = more ? [...tracks, ...page.tracks] : page.tracks;
  token = page.next_page_token;
  showTracks();
}

export function showTracks() {
  $("mine").hidden = tracks.length === 0;
  $("more").hidden = !token;
  $("tracks").replaceChildren(...tracks.map(row));
}

function row(track) {
  const day = new Intl.DateTimeFormat(locale(), { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }).format(new Date(track.create_time));
  const picture = track.cover_url ? el("img", { src: track.cover_url, alt: "", width: 56, height: 56, loading: "lazy" }) : el("span", { className: "no-cover", "aria-hidden": "true" });
  const style = track.variants[0]?.style || track.style;
  const words = [day, style ? styleName(style) : ""].filter(Boolean).join(" · ");
  const state = el("span", { className: `state ${track.state}` }, say(`state.${track.state}`));
  return el("li", {}, el("a", { href: `#track=${track.track_id}` }, picture, el("span", { className: "track-words" }, el("strong", {}, track.title), el("span", { className: "small" }, words)), state));
}
