// A link to a song for others, and whether it stands on the public list: only when its owner says so.

import { callPatiently } from "./api.js";
import { createShare, updateShare } from "./client.js";
import { $, copyText } from "./dom.js";
import { say, styleName } from "./text.js";

export class Sharing {
  constructor({ complain, announce }) {
    Object.assign(this, { complain, announce, track: null, share: null });
    $("share").addEventListener("click", () => this.make());
    $("share-copy").addEventListener("click", () => copyText($("share-link").value, $("share-copy")));
    $("share-listed").addEventListener("change", () => this.list());
  }

  open(track) {
    if (this.track?.track_id !== track.track_id) this.share = null;
    this.track = track;
    this.show();
  }

  show() {
    const { share } = this;
    $("share-line").hidden = $("share-public").hidden = !share;
    $("share").hidden = Boolean(share);
    if (!share) return;
    $("share-link").value = $("share-open").href = share.link_url;
    $("share-listed").checked = share.listed;
    $("share-where").textContent = share.listed ? say("share.listed", { category: styleName(share.category) }) : "";
  }

  async make() {
    this.complain(null);
    $("share").disabled = true;
    try {
      this.share = (await callPatiently(createShare({ track_id: this.track.track_id, share_types: ["link"] }))).share;
      this.show();
      $("share-link").focus();
      $("share-link").select();
    } catch (error) {
      this.complain(error);
    }
    $("share").disabled = false;
  }

  async list() {
    this.complain(null);
    try {
      this.share = (await callPatiently(updateShare({ share_code: this.share.share_code, listed: $("share-listed").checked }))).share;
      this.announce(this.share.listed ? say("share.listed", { category: styleName(this.share.category) }) : say("share.unlisted"));
    } catch (error) {
      this.complain(error);
    }
    this.show();
  }
}
