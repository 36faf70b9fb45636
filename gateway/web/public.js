// The songs that their owners show to everybody, by style, the newest first, as many as one scrolls to.

import { callPatiently } from "./api.js";
import { listPublicSongs, playShare, resolveShare } from "./client.js";
import { showPlaying } from "./dock.js";
import { $, el, endless } from "./dom.js";
import { skeletons, songRow } from "./song-row.js";
import { clock, keyName, say, styleName } from "./text.js";

const PAGE = 12;
const SKELETONS = 4;
const TYPING_MS = 500;
const shown = { songs: [], token: "", category: "", asked: 0 };

export function beginPublic({ complain }) {
  endless($("public-more"), () => loadPublic({ more: true }), complain);
  for (const radio of document.querySelectorAll('input[name="category"]')) radio.addEventListener("change", () => (location.hash = new URLSearchParams({ public: radio.value })));
  const anew = () => {
    shown.songs = [];
    openPublic(shown.category).catch(complain);
  };
  $("public-played").addEventListener("change", anew);
  let timer = 0;
  $("public-find").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(anew, TYPING_MS);
  });
}

export async function openPublic(category) {
  for (const radio of document.querySelectorAll('input[name="category"]')) radio.checked = radio.value === category;
  if (shown.category !== category || !shown.songs.length) {
    Object.assign(shown, { category, songs: [], token: "" });
    $("public-songs").replaceChildren(...skeletons(SKELETONS));
    $("public-none").hidden = true;
  }
  try {
    await loadPublic();
  } catch (error) {
    for (const row of document.querySelectorAll("#public-songs .skeleton")) row.remove();
    throw error;
  }
}

async function loadPublic({ more = false } = {}) {
  const asked = ++shown.asked;
  const page = await callPatiently(listPublicSongs({ page_size: PAGE, category: shown.category, order: $("public-played").checked ? "most_played" : "newest", query: $("public-find").value.trim(), page_token: more ? shown.token : "" }));
  if (asked !== shown.asked) return; // another category has been chosen meanwhile
  if (!more) $("public-songs").replaceChildren();
  shown.songs = more ? [...shown.songs, ...page.songs] : page.songs;
  shown.token = page.next_page_token;
  append(page.songs);
}

// Says everything anew in another language.
export function showPublic() {
  $("public-songs").replaceChildren();
  append(shown.songs);
}

function append(songs) {
  $("public-songs").append(...songs.map(row));
  $("public-more").hidden = !shown.token;
  $("public-none").hidden = shown.songs.length > 0 || Boolean(shown.token);
  showPlaying();
}

const playable = (song) => ({ id: song.share_code, title: song.title, src: song.audio_url, peaks: song.peaks, seconds: song.duration_ms / 1000, renew: () => renew(song), heard: () => callPatiently(playShare({ share_code: song.share_code })).catch(() => {}) });

async function renew(song) {
  return (await callPatiently(resolveShare({ share_code: song.share_code }))).shared_track.audio_url;
}

function row(song) {
  const played = song.play_count ? say("public.plays", { count: song.play_count }) : "";
  const words = [song.style ? styleName(song.style) : "", clock(song.duration_ms / 1000), played].filter(Boolean).join(" · ");
  const title = song.title || say("share.untitled");
  return songRow({ title, words, cover: song.cover_url, song: playable(song), list: () => shown.songs.map(playable), href: song.link_url, target: "_blank", aside: [el("span", { className: "state" }, keyName(song.key))] });
}
