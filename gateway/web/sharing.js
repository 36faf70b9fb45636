// A link to a song for others, and its terms: on the public list or not, until when, with which password. All of it is its owner's word.

import { callPatiently } from "./api.js";
import { appealTrack, createShare, revokeShare, updateShare } from "./client.js";
import { $, copyText } from "./dom.js";
import { moment, say, styleName } from "./text.js";

// What a refusal says of where the song stands.
const STANDINGS = { CONTENT_IN_REVIEW: "review", CONTENT_REJECTED: "risky" };

export class Sharing {
  constructor({ complain, announce }) {
    Object.assign(this, { complain, announce, track: null, share: null });
    $("share").addEventListener("click", () => this.make());
    $("share-copy").addEventListener("click", () => copyText($("share-link").value, $("share-copy")));
    $("share-listed").addEventListener("change", () => this.list());
    $("share-lifetime").addEventListener("change", (event) => this.change({ lifetime_s: Number(event.target.value) }));
    $("share-lock").addEventListener("submit", (event) => {
      event.preventDefault();
      this.change({ password: $("share-password").value });
    });
    $("share-unlock").addEventListener("click", () => this.change({ password: "" }));
    $("standing").addEventListener("submit", (event) => {
      event.preventDefault();
      this.appeal();
    });
    $("share-revoke").addEventListener("click", () => this.revoke());
  }

  open(track) {
    if (this.track?.track_id !== track.track_id) {
      this.share = null;
      $("standing-asked").textContent = $("standing-why").value = "";
    }
    this.track = track;
    this.standing = track.standing;
    this.show();
  }

  show() {
    const { share, standing } = this;
    $("standing").hidden = !Object.values(STANDINGS).includes(standing);
    $("standing-words").textContent = $("standing").hidden ? "" : say(`standing.${standing}`);
    $("share-line").hidden = $("share-public").hidden = $("share-terms").hidden = !share;
    $("share").hidden = Boolean(share);
    if (!share) return;
    $("share-link").value = $("share-open").href = share.link_url;
    $("share-listed").checked = share.listed;
    $("share-listed").disabled = share.locked;
    // The choice says how long from now; once it is made, the sentence below says until when.
    $("share-lifetime").value = share.expire_time ? "" : "0";
    $("share-unlock").hidden = !share.locked;
    $("share-password").value = "";
    const until = share.expire_time ? say("share.until", { time: moment(share.expire_time) }) : say("share.endless");
    $("share-locked").textContent = `${until} ${say(share.locked ? "share.locked" : "share.unlocked")}`;
    $("share-where").hidden = !share.listed;
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
      this.standing = STANDINGS[error.symbol] ?? this.standing;
      this.complain(error);
      this.show();
    }
    $("share").disabled = false;
  }

  async list() {
    const listed = $("share-listed").checked;
    await this.change({ listed }, (share) => (share.listed ? say("share.listed", { category: styleName(share.category) }) : say("share.unlisted")));
  }

  async change(terms, words = () => $("share-locked").textContent) {
    this.complain(null);
    try {
      this.share = (await callPatiently(updateShare({ share_code: this.share.share_code, ...terms }))).share;
      this.show();
      this.announce(words(this.share));
    } catch (error) {
      this.complain(error);
      this.show();
    }
  }

  async appeal() {
    this.complain(null);
    try {
      await callPatiently(appealTrack({ track_id: this.track.track_id, message: $("standing-why").value.trim() }));
      $("standing-asked").textContent = say("standing.asked");
      this.announce(say("standing.asked"));
    } catch (error) {
      this.complain(error);
    }
  }

  async revoke() {
    this.complain(null);
    try {
      await callPatiently(revokeShare({ share_code: this.share.share_code }));
      this.share = null;
      this.announce(say("share.revoked"));
    } catch (error) {
      this.complain(error);
    }
    this.show();
    if (!this.share) $("share").focus();
  }
}
