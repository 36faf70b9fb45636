// A finished song: its two versions to hear, take and save, its name, its tune to change, its link.

import { callPatiently } from "./api.js";
import { chooseVariant, getTrack, updateTrack } from "./client.js";
import { $ } from "./dom.js";
import { silence } from "./player.js";
import { Sharing } from "./sharing.js";
import { keyName, say } from "./text.js";
import { loadTracks } from "./tracks.js";
import { Tune } from "./tune.js";
import { variantCard } from "./variants.js";

const FRESH_MS = 40 * 60 * 1000;

export class Song {
  // `show` brings a view up, `started` hears of another song made of the tune, `changed` what the song is now.
  constructor({ complain, announce, show, started, changed }) {
    Object.assign(this, { complain, announce, bring: show, changed, track: null, shownAt: 0 });
    this.sharing = new Sharing({ complain, announce });
    this.tune = new Tune({ complain, announce, started });
    $("rename").addEventListener("click", () => this.#showRenaming(true));
    $("renaming").addEventListener("submit", (event) => this.#rename(event));
    $("renaming").addEventListener("keydown", (event) => event.key === "Escape" && this.#showRenaming(false));
  }

  open(track) {
    this.#keep(track);
    this.#showRenaming(false);
    this.shownAt = performance.now();
    this.bring("song");
    this.show();
    $("song-head").focus({ preventScroll: true });
    scrollTo({ top: 0, behavior: "instant" });
    this.announce(say("song.ready"));
  }

  // Writes everything anew, also in another language.
  show() {
    const { track } = this;
    $("song-head").textContent = track.title;
    $("song-cover").hidden = !track.cover_url;
    if (track.cover_url) $("song-cover").src = track.cover_url;
    const heard = track.analysis;
    $("song-heard").textContent = heard ? say("song.heard", { key: keyName(heard.key), tempo: Math.round(heard.tempo_bpm), notes: heard.notes.length }) : "";
    this.#showVariants();
    this.tune.open(track);
    this.sharing.open(track);
  }

  // Addresses to play and to save end within the hour; whoever comes back to the page later gets fresh ones.
  async refresh() {
    if (document.hidden || performance.now() - this.shownAt < FRESH_MS) return;
    const { track } = await callPatiently(getTrack({ track_id: this.track.track_id }));
    if (document.querySelector(".playing") || this.track.track_id !== track.track_id) return;
    this.#keep(track);
    this.shownAt = performance.now();
    this.#showVariants();
  }

  #keep(track) {
    this.track = track;
    this.changed(track);
  }

  #showVariants() {
    const choose = (variant) => this.#choose(variant);
    const renew = (variant) => this.#renew(variant);
    const group = {};
    $("variants").replaceChildren(...this.track.variants.map((variant) => variantCard(variant, this.track, { choose, renew, group })));
  }

  async #renew(variant) {
    const { track } = await callPatiently(getTrack({ track_id: this.track.track_id }));
    return track.variants.find((each) => each.variant_id === variant.variant_id).audio_url;
  }

  async #choose(variant) {
    this.complain(null);
    try {
      this.#keep((await callPatiently(chooseVariant({ track_id: this.track.track_id, variant_id: variant.variant_id }))).track);
      silence();
      this.#showVariants();
      document.querySelector(`.variant.${variant.label.toLowerCase()} [aria-pressed]`).focus();
      this.announce(say("variant.taken", { label: variant.label }));
    } catch (error) {
      this.complain(error);
    }
  }

  async #rename(event) {
    event.preventDefault();
    try {
      this.#keep((await callPatiently(updateTrack({ track_id: this.track.track_id, title: $("new-title").value }))).track);
      this.show();
      this.#showRenaming(false);
      loadTracks().catch(() => {});
      $("song-head").focus();
    } catch (error) {
      this.complain(error);
    }
  }

  #showRenaming(open) {
    $("renaming").hidden = !open;
    $("rename").hidden = open;
    if (!open) return;
    $("new-title").value = this.track.title;
    $("new-title").focus();
  }
}
