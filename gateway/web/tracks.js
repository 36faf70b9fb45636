// The person's own songs: the newest first, a page at a time, looked for by words, put away and taken back.

import { call, callPatiently } from "./api.js";
import { $, el } from "./dom.js";
import { locale, say, styleName } from "./text.js";

const PAGE = 8;
const PAUSE_MS = 400; // after the last key, before the server is asked
const shown = { tracks: [], token: "", query: "", trashed: false, asked: 0, any: false };

export async function loadTracks({ more = false } = {}) {
  const asked = ++shown.asked;
  const query = new URLSearchParams({ page_size: String(PAGE), ...(more && shown.token ? { page_token: shown.token } : {}), ...(shown.query ? { query: shown.query } : {}), ...(shown.trashed ? { trashed: "true" } : {}) });
  const page = await call("GET", `/api/v1/tracks?${query}`);
  if (asked !== shown.asked) return; // another question has been put meanwhile
  shown.tracks = more ? [...shown.tracks, ...page.tracks] : page.tracks;
  shown.token = page.next_page_token;
  showTracks();
}

export function showTracks() {
  const { tracks, token, query, trashed } = shown;
  shown.any ||= tracks.length > 0;
  $("mine").hidden = !shown.any;
  $("more").hidden = !token;
  $("trash").setAttribute("aria-pressed", String(trashed));
  $("tracks").replaceChildren(...tracks.map(row));
  $("mine-none").hidden = tracks.length > 0;
  $("mine-none").textContent = say(query ? "mine.nothing" : trashed ? "mine.trash_empty" : "mine.empty");
}

// `complain` hears what went wrong, `announce` what is to be said aloud, `gone` that a song was put away.
export function beginTracks({ complain, announce, gone }) {
  let timer = 0;
  const again = () => loadTracks().catch(complain);
  $("mine-find").addEventListener("input", () => {
    shown.query = $("mine-find").value.trim();
    clearTimeout(timer);
    timer = setTimeout(again, PAUSE_MS);
  });
  $("trash").addEventListener("click", () => {
    shown.trashed = !shown.trashed;
    again();
  });
  $("tracks").addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { id } = button.dataset;
    button.disabled = true;
    try {
      if (shown.trashed) await callPatiently("POST", `/api/v1/tracks/${id}/restore`, {});
      else await callPatiently("DELETE", `/api/v1/tracks/${id}`);
      announce(say(shown.trashed ? "mine.back" : "mine.away"));
      if (!shown.trashed) gone(id);
      await loadTracks();
      $("mine-head").focus({ preventScroll: true });
    } catch (error) {
      button.disabled = false;
      complain(error);
    }
  });
}

function row(track) {
  const day = new Intl.DateTimeFormat(locale(), { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }).format(new Date(track.create_time));
  const picture = track.cover_url ? el("img", { src: track.cover_url, alt: "", width: 56, height: 56, loading: "lazy" }) : el("span", { className: "no-cover", "aria-hidden": "true" });
  const style = track.variants[0]?.style || track.style;
  const words = [day, style ? styleName(style) : ""].filter(Boolean).join(" · ");
  const state = el("span", { className: `state ${track.state}` }, say(`state.${track.state}`));
  const inside = [picture, el("span", { className: "track-words" }, el("strong", {}, track.title), el("span", { className: "small" }, words)), state];
  const song = shown.trashed ? el("span", { className: "track" }, ...inside) : el("a", { className: "track", href: `#track=${track.track_id}` }, ...inside);
  const [name, label] = shown.trashed ? ["mine.take_back", "mine.take_back_label"] : ["mine.put_away", "mine.put_away_label"];
  const button = el("button", { type: "button", className: "button quiet small-button", "data-id": track.track_id, "aria-label": say(label, { title: track.title }) }, say(name));
  return el("li", {}, song, button);
}
