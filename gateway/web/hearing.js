// What is heard in a take before a song is ordered: whether it will do, what to do better, and the tune in it.

import { callPatiently } from "./api.js";
import { hearTake } from "./client.js";
import { $, el } from "./dom.js";
import { Editor } from "./editor.js";
import { say } from "./text.js";

export class Hearing {
  // `changed` hears that what can be ordered may be otherwise now, `why` words a reason of the interface.
  constructor({ announce, changed, why }) {
    Object.assign(this, { announce, changed, why, asset: null, heard: null, pending: false, lost: false });
    this.editor = new Editor("heard", { announce, changed });
    $("heard-tune").addEventListener("toggle", () => $("heard-tune").open && this.heard && this.editor.words());
  }

  get refused() {
    return Boolean(this.heard?.refusal);
  }

  // The change that the person made to the tune, or null.
  change() {
    return this.heard?.analysis && !this.refused ? this.editor.change() : null;
  }

  // Asks what is heard in an asset; null for none.
  async open(asset) {
    Object.assign(this, { asset, heard: null, pending: Boolean(asset), lost: false });
    this.editor.close();
    this.show();
    if (!asset) return;
    let heard = null;
    try {
      heard = await callPatiently(hearTake({ asset_id: asset.asset_id }));
    } catch {
      // A take that nobody could judge just now can still be made into a song, which judges it again.
    }
    if (this.asset !== asset) return;
    Object.assign(this, { heard, pending: false, lost: heard === null });
    this.show();
    if (heard?.analysis) this.editor.open(heard, asset.peaks);
    this.announce($("heard-verdict").textContent);
    this.changed();
  }

  // Says everything anew, also in another language.
  show() {
    const { heard, pending, lost, refused } = this;
    $("heard").hidden = !this.asset;
    $("heard").classList.toggle("bad", refused);
    $("heard-verdict").textContent = pending ? say("heard.listening") : lost ? say("heard.lost") : !heard ? "" : refused ? this.why(heard.refusal) : say(heard.advice.length ? "heard.fair" : "heard.good", { notes: heard.analysis.notes.length });
    $("heard-advice").replaceChildren(...(heard?.advice ?? []).map((word) => el("li", {}, say(`advice.${word}`))));
    $("heard-tune").hidden = !heard?.analysis;
    $("heard-edit").hidden = refused;
    // Fields that nobody sees must not hold up the order.
    for (const field of $("heard-edit").querySelectorAll("input, select")) field.disabled = !heard?.analysis || refused;
  }

  words() {
    this.show();
    this.editor.words();
  }
}
