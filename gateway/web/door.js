// The door in the account corner: who one is here, more ways to log in, a password, and two accounts that become one.

import { call, callPatiently, keepSession, leave, named, pause, remember, remembered, request } from "./api.js";
import { bindIdentity, changePassword, confirmMerge, getCode, getMe, login, previewMerge, resetPassword, sendCode, unbindIdentity, undoMerge } from "./client.js";
import { $, el, facts } from "./dom.js";
import { moment, say } from "./text.js";

const MERGE = "cadenza.merge";
const LOOKS = 5; // for whether a code has left, a second apart
const OWNED = ["track", "lyrics", "asset", "share"];
const FIELDS = ["door-code", "door-password", "door-old", "door-new"];

export class Door {
  // `attempt` does something and shows what went wrong, `moved` hears that another person is here, or has more now.
  constructor({ announce, attempt, moved, why }) {
    Object.assign(this, { announce, moved, why, me: null, mode: "code", sent: "", offer: null, busy: false });
    const on = (id, event, work) =>
      $(id).addEventListener(event, async (happened) => {
        happened.preventDefault();
        if (this.busy) return;
        this.busy = true;
        await attempt(() => work.call(this));
        this.busy = false;
      });
    const turn = (mode) => () => this.#turn(mode);
    on("door-form", "submit", this.#submit);
    on("door-by-password", "click", turn("password"));
    on("door-by-code", "click", turn("code"));
    on("door-forgotten", "click", turn("reset"));
    on("door-merge-go", "click", this.#merge);
    on("door-merge-no", "click", turn("code"));
    on("door-undo", "click", this.#undo);
    on("door-secret", "submit", this.#setPassword);
    on("door-out", "click", this.#leave);
    this.attempt = attempt;
  }

  async load() {
    this.me = (await callPatiently(getMe())).user;
  }

  get #visitor() {
    return this.me.identities.every((way) => way.provider === "web");
  }

  // Writes everything anew, also in another language.
  show() {
    const { me, mode, sent, offer } = this;
    $("door").hidden = !me;
    if (!me) return;
    const visitor = this.#visitor;
    const code = mode !== "password" && sent !== "";
    const password = mode === "password" || (mode === "reset" && code);
    $("door-head").textContent = say(visitor ? "door.head.visitor" : "door.head");
    $("door-lead").hidden = !visitor;
    $("door-ways").replaceChildren(...(visitor ? [] : me.identities.map((way) => this.#way(way))));
    $("door-form").hidden = offer !== null;
    $("door-account-name").textContent = say(mode === "password" ? "door.name" : visitor ? "door.account" : "door.more");
    $("door-account").readOnly = sent !== "";
    $("door-keep-box").hidden = !visitor || mode !== "code" || code;
    $("door-code-box").hidden = !code;
    $("door-code").required = code;
    $("door-password-box").hidden = !password;
    $("door-password").required = password;
    $("door-password").autocomplete = mode === "reset" ? "new-password" : "current-password";
    $("door-password-name").textContent = say(mode === "reset" ? "door.new" : "door.password");
    $("door-go").textContent = say(!code && !password ? "door.send" : visitor ? "door.in" : "door.add");
    $("door-by-password").hidden = !visitor || mode !== "code";
    $("door-by-code").hidden = mode === "code" && !code;
    $("door-by-code").textContent = say(code ? "door.again" : "door.by_code");
    $("door-forgotten").hidden = mode !== "password";
    $("door-merge").hidden = offer === null;
    if (offer) this.#showOffer(offer);
    const merge = JSON.parse(remembered(MERGE) || "null");
    $("door-merged").hidden = !(merge?.user === me.user_id && new Date(merge.until) > new Date());
    if (merge) $("door-merged-until").textContent = say("door.merged", { time: moment(merge.until) });
    $("door-secret-box").hidden = $("door-out-box").hidden = visitor;
    $("door-old-box").hidden = !me.has_password;
    $("door-old").required = me.has_password;
  }

  #way(way) {
    const name = [say(`door.way.${way.provider}`), way.label].filter(Boolean).join(" · ");
    const single = this.me.identities.length === 1;
    const button = single ? null : el("button", { className: "button quiet", type: "button", "aria-label": say("door.remove_one", { way: name }) }, say("door.remove"));
    button?.addEventListener("click", () => this.attempt(() => this.#remove(way)));
    return el("li", {}, el("span", {}, name, el("span", { className: "small" }, moment(way.create_time))), button);
  }

  #showOffer({ source, target }) {
    const pairs = OWNED.map((name) => [name, `${name}_count`]).concat([["credits", "available_credits"]]);
    const sums = pairs.filter(([, field]) => source[field] + target[field]).map(([name, field]) => [say(`door.owned.${name}`), `${target[field]} + ${source[field]}`]);
    $("door-merge-lead").textContent = say("door.merge.lead", { account: this.sent });
    $("door-merge-facts").replaceChildren(facts(sums));
  }

  // Begins anew, in one of the three manners: by a code, by a password, or by a code for a new password.
  #turn(mode) {
    Object.assign(this, { mode, sent: "", offer: null });
    for (const id of FIELDS) $(id).value = "";
    this.show();
    $("door-account").focus();
  }

  async #submit() {
    const [account, code, password] = ["door-account", "door-code", "door-password"].map((id) => $(id).value.trim());
    if (this.mode !== "password" && !this.sent) return this.#send(account);
    if (this.mode === "code" && this.purpose === "bind") return this.#bind(account, code);
    if (this.mode === "reset") await request(resetPassword({ account, code, new_password: password }));
    const by = this.mode === "code" ? { code } : { password };
    return this.#enter((await request(login({ account, ...by }))).session);
  }

  async #send(target) {
    this.purpose = this.mode === "reset" ? "reset" : this.#visitor && !$("door-keep").checked ? "login" : "bind";
    const { code_id } = await call(sendCode({ target, purpose: this.purpose }));
    this.sent = target;
    this.show();
    $("door-code").focus();
    this.announce(say("door.sent", { account: target }));
    this.#follow(code_id);
  }

  // Says so when the code could not be sent after all.
  async #follow(code_id) {
    for (let looks = 0; looks < LOOKS; looks++) {
      await pause(1000);
      const { state, reason } = await request(getCode({ code_id })).catch(() => ({}));
      if (state === "sent" || !this.sent) return;
      if (state !== "failed") continue;
      await this.attempt(() => Promise.reject(new Error(this.why(reason))));
      return this.#turn(this.mode);
    }
  }

  async #bind(account, code) {
    const provider = account.includes("@") ? "email" : "phone";
    try {
      await call(bindIdentity({ provider, provider_id: account, verification_code: code }));
    } catch (error) {
      const { merge_id } = error.metadata ?? {};
      if (!merge_id) throw error;
      this.offer = await call(previewMerge({ merge_id }));
      this.show();
      return $("door-merge-lead").focus();
    }
    return this.#arrived(this.#visitor ? "door.done.in" : "door.done.added", false);
  }

  async #enter(session) {
    keepSession(session);
    await this.#arrived("door.done.in", true);
  }

  // `other`: nothing of what the page shows is this person's.
  async #arrived(words, other) {
    $("door-account").value = "";
    await this.load();
    named(!this.#visitor);
    this.#turn("code");
    this.announce(say(words));
    $("door-head").focus();
    this.moved(other);
  }

  async #merge() {
    const { merge, session } = await call(confirmMerge({ merge_id: this.offer.merge.merge_id }));
    if (session) keepSession(session);
    remember(MERGE, JSON.stringify({ id: merge.merge_id, user: merge.target_user_id, until: merge.undo_expire_time }));
    await this.#arrived("door.done.merged", false);
  }

  async #undo() {
    await call(undoMerge({ merge_id: JSON.parse(remembered(MERGE)).id }));
    remember(MERGE, null);
    await this.#arrived("door.done.undone", false);
  }

  async #remove(way) {
    await call(unbindIdentity({ identity_id: way.identity_id }));
    await this.#arrived("door.done.removed", false);
  }

  async #setPassword() {
    await call(changePassword({ old_password: $("door-old").value, new_password: $("door-new").value }));
    await this.#arrived("door.done.password", false);
  }

  async #leave() {
    await leave();
    await this.#arrived("account.ended", true);
  }
}
