// The first step: a take from the microphone or a file, heard before it is sent, and sent with progress.

import { call, callPatiently, randomId, upload } from "./api.js";
import { getAsset, watchAsset } from "./client.js";
import { $ } from "./dom.js";
import { watch } from "./events.js";
import { makePlayer, silence } from "./player.js";
import { canRecord, startTake, takeName } from "./recorder.js";
import { clock, say } from "./text.js";
import { drawWave, measure } from "./wave.js";

const LIVE_BARS = 96;
const COUNTDOWN_S = 10; // how long before its end a take says so
const VIEWS = ["choose", "listen", "sending", "ready"];

export class Take {
  // `ready` hears the asset once it can be used (null when there is none), `fail` hears errors, `announce` speaks.
  constructor({ ready, fail, announce }) {
    Object.assign(this, { ready, fail, announce, limits: null, take: null, recording: null, stop: new AbortController(), view: "choose" });
    $("record").addEventListener("click", () => (this.recording ? this.recording.stop() : this.record()));
    $("file").addEventListener("change", (event) => this.choose(event.target.files[0]));
    $("take-use").addEventListener("click", () => this.send());
    $("take-again").addEventListener("click", () => this.reset());
    $("take-other").addEventListener("click", () => this.reset());
    this.acceptDrops($("drop"));
    $("record").disabled = !canRecord();
    // The page's texts may come later than a quick hand: what was chosen before anybody listened is still there.
    this.choose($("file").files[0]);
  }

  words() {
    const { limits } = this;
    $("record-name").textContent = say(this.recording ? "take.stop" : "take.record");
    $("record-hint").textContent = say(!canRecord() ? "take.unsupported" : this.recording ? "take.singing" : "take.hint");
    if (limits) $("limits").textContent = say("take.limits", { mb: Math.floor(limits.max_bytes / 1048576), longest: clock(limits.max_duration_ms / 1000) });
    if (this.asset) this.showReady();
    if (this.take && this.view === "listen") this.showTake();
  }

  acceptDrops(area) {
    const over = (event, on) => {
      event.preventDefault();
      area.classList.toggle("over", on);
    };
    area.addEventListener("dragover", (event) => over(event, true));
    area.addEventListener("dragleave", (event) => over(event, false));
    area.addEventListener("drop", (event) => {
      over(event, false);
      this.choose(event.dataTransfer.files[0]);
    });
  }

  async record() {
    this.fail(null);
    silence({ all: true });
    const levels = [];
    const live = $("live");
    const longest = (this.limits?.max_duration_ms ?? 180000) / 1000;
    try {
      this.recording = await startTake({
        longest,
        tell: (seconds, level) => {
          $("clock").textContent = clock(seconds);
          const left = Math.ceil(longest - seconds);
          if (left <= COUNTDOWN_S) $("record-hint").textContent = say("take.left", { seconds: Math.max(left, 0) });
          $("level").style.transform = `scale(${(1 + level * 0.5).toFixed(3)})`;
          levels.push(level * level * 100);
          live.replaceChildren(drawWave([...Array(LIVE_BARS).fill(0), ...levels].slice(-LIVE_BARS), LIVE_BARS).svg);
        },
      });
    } catch (error) {
      this.fail(say(error.name === "NotFoundError" ? "take.no_device" : "take.denied"));
      return;
    }
    $("record").classList.add("on");
    $("take").classList.add("recording");
    this.words();
    this.announce(say("take.singing"));
    const { blob, seconds } = await this.recording.finished;
    this.recording = null;
    $("record").classList.remove("on");
    $("take").classList.remove("recording");
    $("level").style.transform = "";
    live.replaceChildren();
    this.words();
    await this.accept(blob, takeName(blob.type), seconds);
  }

  async choose(file) {
    if (!file || this.recording) return;
    this.fail(null);
    $("file").value = "";
    await this.accept(file, file.name, 0);
  }

  // Shows a take to be heard before it is sent; refuses what the gateway would refuse anyway.
  async accept(blob, name, seconds) {
    const limits = this.limits ?? { max_bytes: Infinity, min_duration_ms: 0, max_duration_ms: Infinity };
    if (blob.size > limits.max_bytes) return this.fail(say("take.too_large", { mb: Math.floor(limits.max_bytes / 1048576) }));
    if (blob.size === 0) return this.fail(say("take.empty"));
    const sound = await measure(blob);
    const length = sound?.seconds ?? seconds;
    if (length && length * 1000 < limits.min_duration_ms) return this.fail(say("take.too_short"));
    // A recording that stops itself at the limit may be a moment over it; the server cuts and decides.
    if (length && length * 1000 > limits.max_duration_ms + 500) return this.fail(say("take.too_long", { longest: clock(limits.max_duration_ms / 1000) }));
    this.take = { blob, name, seconds: length, peaks: sound?.peaks, key: randomId() };
    this.showTake();
    this.show("listen");
    $("take-use").focus();
  }

  showTake() {
    const { take } = this;
    if (!this.url) this.url = URL.createObjectURL(take.blob);
    $("take-name").textContent = take.seconds ? say("take.heard", { name: take.name, length: clock(take.seconds) }) : take.name;
    $("take-player").replaceChildren(makePlayer({ src: this.url, peaks: take.peaks, seconds: take.seconds, name: say("take.preview") }));
  }

  async send() {
    silence();
    this.fail(null);
    this.stop = new AbortController();
    const { stop } = this;
    const tell = (percent) => ($("sending").value = percent * 0.6);
    $("sending-words").textContent = say("take.sending");
    $("sending").value = 0;
    this.show("sending");
    try {
      const asset = await upload(this.take.blob, this.take.name, { key: this.take.key, tell, stop: stop.signal });
      await this.follow(asset.asset_id, stop.signal);
    } catch (error) {
      if (stop.signal.aborted) return;
      // What the server refused for good is refused again: only another take helps.
      this.show("listen");
      this.fail(error);
    }
  }

  // Waits until the asset can be used; works for one that was sent before a reload too.
  async follow(assetId, stop) {
    this.show("sending");
    $("sending-words").textContent = say("take.preparing");
    for await (const { event } of watch(watchAsset({ asset_id: assetId }), { stop })) {
      if (event) $("sending").value = 60 + event.progress_percent * 0.4;
    }
    if (stop.aborted) return;
    const { asset } = await callPatiently(getAsset({ asset_id: assetId }));
    if (asset.state !== "ready") {
      this.reset();
      this.fail(asset.error ? { reason: asset.error.reason } : say("take.unusable"));
      return;
    }
    this.asset = asset;
    this.showReady();
    this.show("ready");
    this.announce(say("take.ready", { length: clock(asset.duration_ms / 1000) }));
    this.ready(asset);
  }

  async restore(assetId) {
    this.stop.abort();
    this.stop = new AbortController();
    try {
      await this.follow(assetId, this.stop.signal);
    } catch (error) {
      this.reset();
      if (error.status !== 404) this.fail(error);
    }
  }

  showReady() {
    const { asset } = this;
    $("ready-words").textContent = say("take.ready", { length: clock(asset.duration_ms / 1000) });
    $("heard-player").replaceChildren(makePlayer({ src: asset.url, peaks: asset.peaks, seconds: asset.duration_ms / 1000, name: say("take.preview") }));
  }

  reset() {
    silence();
    this.stop.abort();
    this.recording?.stop();
    if (this.url) URL.revokeObjectURL(this.url);
    Object.assign(this, { take: null, url: null, asset: null });
    $("clock").textContent = clock(0);
    this.show("choose");
    this.ready(null);
  }

  show(view) {
    this.view = view;
    for (const each of VIEWS) $(`take-${each}`).hidden = each !== view;
  }
}

export async function loadLimits() {
  return call({ method: "GET", path: "/api/v1/config/client" }); // the gateway's own, in no contract
}
