// The tune of a finished song, to be looked at, heard and changed, and another song of it.

import { callPatiently, randomId } from "./api.js";
import { createTrack, getAsset, getTune } from "./client.js";
import { $, el } from "./dom.js";
import { Editor } from "./editor.js";
import { makePlayer } from "./player.js";
import { say, styleName } from "./text.js";

export class Tune {
  // `complain` hears errors, `announce` speaks, `started` hears the new track.
  constructor({ complain, announce, started }) {
    Object.assign(this, { tell: { complain, announce, started }, track: null, loaded: false, price: null, wish: null });
    this.editor = new Editor("tune", { announce });
    $("tune").addEventListener("toggle", () => $("tune").open && this.load());
    $("tune-change").addEventListener("submit", (event) => this.again(event));
  }

  // Another song is shown: its tune is fetched when somebody wants to see it.
  open(track) {
    if (this.track?.track_id === track.track_id) return;
    Object.assign(this, { track, loaded: false, wish: null });
    $("tune").open = false;
    $("tune").hidden = !track.analysis; // a song of words alone has no tune that was heard
    $("tune-player").replaceChildren();
    this.editor.close();
  }

  words() {
    $("tune-price").textContent = this.price === null ? "" : say("words.price", { price: this.price });
    const chosen = $("tune-style").value;
    const styles = [...document.querySelectorAll('input[name="style"]')].map((radio) => radio.value);
    $("tune-style").replaceChildren(...styles.map((style) => el("option", { value: style }, style ? styleName(style) : say("style.any"))));
    $("tune-style").value = chosen;
    this.editor.words();
  }

  async load() {
    if (this.loaded) return;
    const { track } = this;
    try {
      const heard = await callPatiently(getTune({ track_id: track.track_id }));
      // Without the take, which may be gone, the tune can still be seen.
      const asset = track.asset_id ? await callPatiently(getAsset({ asset_id: track.asset_id })).then((answer) => answer.asset, () => null) : null;
      if (this.track !== track) return;
      const player = asset?.url ? makePlayer({ src: asset.url, peaks: asset.peaks, seconds: asset.duration_ms / 1000, name: say("take.preview") }) : null;
      $("tune-player").replaceChildren(...(player ? [player] : []));
      this.loaded = true;
      this.editor.open(heard, asset?.peaks ?? []);
      $("tune-style").value = track.style;
      this.words();
    } catch (error) {
      $("tune").open = false;
      this.tell.complain(error);
    }
  }

  async again(event) {
    event.preventDefault();
    if (!this.loaded) return;
    const { track } = this;
    const body = { source_track_id: track.track_id, tune_change: this.editor.change(), style: $("tune-style").value, mood: track.mood, title: track.title, duration_s: track.duration_s };
    // The same wish keeps its key until it was answered, so that asking twice never costs two songs.
    const text = JSON.stringify(body);
    if (this.wish?.text !== text) this.wish = { text, key: randomId() };
    $("tune-make").disabled = true;
    this.tell.complain(null);
    try {
      const made = await callPatiently(createTrack(body), { "Idempotency-Key": this.wish.key });
      this.wish = null;
      this.tell.started(made);
    } catch (error) {
      if (!error.passing) this.wish = null;
      this.tell.complain(error);
    }
    $("tune-make").disabled = false;
  }
}
