// The person's own songs: the newest first, as many as one scrolls to, looked for by words, put away and taken back.

import { call, callPatiently } from "./api.js";
import { deleteTrack, getTrack, listTracks, restoreTrack } from "./client.js";
import { showPlaying } from "./dock.js";
import { $, el, endless } from "./dom.js";
import { songRow } from "./song-row.js";
import { locale, say, styleName } from "./text.js";

const PAGE = 12;
const PAUSE_MS = 400; // after the last key, before the server is asked
const shown = { tracks: [], token: "", query: "", trashed: false, asked: 0, any: false };

export async function loadTracks({ more = false } = {}) {
  const asked = ++shown.asked;
  const page = await call(listTracks({ page_size: PAGE, page_token: more ? shown.token : "", query: shown.query, trashed: shown.trashed }));
  if (asked !== shown.asked) return; // another question has been put meanwhile
  shown.tracks = more ? [...shown.tracks, ...page.tracks] : page.tracks;
  shown.token = page.next_page_token;
  if (!more) $("tracks").replaceChildren();
  append(page.tracks);
}

// Says everything anew in another language.
export function showTracks() {
  $("tracks").replaceChildren();
  append(shown.tracks);
}

// What is there already stays where it is, and with it the person's focus.
function append(more) {
  const { tracks, token, query, trashed } = shown;
  shown.any ||= tracks.length > 0;
  $("mine").hidden = !shown.any;
  $("more").hidden = !token;
  $("trash").setAttribute("aria-pressed", String(trashed));
  $("tracks").append(...more.map(row));
  $("mine-none").hidden = tracks.length > 0;
  $("mine-none").textContent = say(query ? "mine.nothing" : trashed ? "mine.trash_empty" : "mine.empty");
  showPlaying();
}

// `complain` hears what went wrong, `announce` what is to be said aloud, `gone` that a song was put away.
export function beginTracks({ complain, announce, gone }) {
  let timer = 0;
  const again = () => loadTracks().catch(complain);
  endless($("more"), () => loadTracks({ more: true }), complain);
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
    const button = event.target.closest("button[data-id]");
    if (!button) return;
    const { id } = button.dataset;
    button.disabled = true;
    try {
      if (shown.trashed) await callPatiently(restoreTrack({ track_id: id }));
      else await callPatiently(deleteTrack({ track_id: id }));
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

const heard = (track) => track.variants.find((each) => each.variant_id === track.chosen_variant_id) ?? track.variants.find((each) => each.recommended) ?? track.variants[0];

function playable(track) {
  const variant = heard(track);
  if (!variant?.audio_url || shown.trashed) return null;
  const renew = async () => heard((await callPatiently(getTrack({ track_id: track.track_id }))).track).audio_url;
  return { id: track.track_id, title: track.title, src: variant.audio_url, peaks: variant.peaks, seconds: variant.duration_ms / 1000, renew };
}

function row(track) {
  const day = new Intl.DateTimeFormat(locale(), { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }).format(new Date(track.create_time));
  const style = track.variants[0]?.style || track.style;
  const words = [day, style ? styleName(style) : ""].filter(Boolean).join(" · ");
  const state = el("span", { className: `state ${track.state}` }, say(`state.${track.state}`));
  const list = () => shown.tracks.map(playable).filter(Boolean);
  const item = songRow({ title: track.title, words, cover: track.cover_url, song: playable(track), list, href: shown.trashed ? null : `#track=${track.track_id}`, aside: [state] });
  const [name, label] = shown.trashed ? ["mine.take_back", "mine.take_back_label"] : ["mine.put_away", "mine.put_away_label"];
  item.append(el("button", { type: "button", className: "button quiet small-button", "data-id": track.track_id, "aria-label": say(label, { title: track.title }) }, say(name)));
  return item;
}
