// The account corner: who one is, what there is to spend, what was spent on what, and where one is logged in.

import { callPatiently } from "./api.js";
import { endSession, endSessions, getBalance, listEntries, listSessions } from "./client.js";
import { $, el } from "./dom.js";
import { has, moment, say } from "./text.js";

const PAGE = 10;

const signed = (credits) => `${credits > 0 ? "+" : credits < 0 ? "−" : ""}${Math.abs(credits)}`;
const words = (prefix, name) => (has(`${prefix}.${name}`) ? say(`${prefix}.${name}`) : name);

export class Account {
  // `announce` hears what is to be said aloud, `moved` that another person is here, `why` words a reason.
  constructor({ announce, moved, why }) {
    Object.assign(this, { announce, moved, why, door: null, inbox: null, balance: null, entries: [], entriesNext: "", sessions: [], sessionsNext: "" });
    this.dialog = $("account");
    $("purse").addEventListener("click", () => this.open());
    $("account-close").addEventListener("click", () => this.dialog.close());
    $("account-entries-more").addEventListener("click", () => this.#try(() => this.#loadEntries()));
    $("account-sessions-more").addEventListener("click", () => this.#try(() => this.#loadSessions()));
    $("account-others").addEventListener("click", () => this.#try(() => this.#endOthers()));
    // A click beside the box closes it, as people expect of one.
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  async open() {
    this.dialog.showModal();
    this.show();
    await this.#try(() => this.#load());
  }

  async #load() {
    if (!this.door) await this.#fetch();
    this.sessions = [];
    this.sessionsNext = "";
    await Promise.all([this.#loadCredits(), this.#loadSessions(), this.door.load(), this.inbox.load()]);
  }

  // Door and inbox are fetched when somebody comes to them.
  async #fetch() {
    const [{ Door }, { Inbox }] = await Promise.all([import("./door.js"), import("./inbox.js")]);
    const { announce, why } = this;
    const attempt = (work) => this.#try(work);
    const moved = (other) => {
      this.moved(other);
      this.#try(() => this.#load());
    };
    this.inbox = new Inbox({ announce, attempt, left: () => this.dialog.close() });
    this.door = new Door({ announce, attempt, moved, why });
  }

  // Hears what the balance is now: what was set aside for a job comes back, or goes, while one looks at it.
  async hear(balance) {
    const { balance: shown, dialog } = this;
    if (!dialog.open || !shown || (shown.available_credits === balance.available_credits && shown.held_credits === balance.held_credits)) return;
    await this.#try(() => this.#loadCredits());
  }

  // Writes everything anew, also in another language.
  show() {
    const { balance } = this;
    this.door?.show();
    this.inbox?.show();
    $("account-balance").textContent = balance ? say("account.balance", { available: balance.available_credits, held: balance.held_credits }) : "";
    $("account-entries").replaceChildren(...this.entries.map((entry) => this.#entry(entry)));
    $("account-entries-more").hidden = !this.entriesNext;
    $("account-sessions").replaceChildren(...this.sessions.map((session) => this.#session(session)));
    $("account-sessions-more").hidden = !this.sessionsNext;
    $("account-others").hidden = !this.sessions.some((session) => !session.current);
  }

  async #try(work) {
    $("account-alert").hidden = true;
    try {
      await work();
    } catch (error) {
      $("account-alert").textContent = error.message;
      $("account-alert").hidden = false;
    }
    this.show();
  }

  async #loadCredits() {
    this.entries = [];
    this.entriesNext = "";
    const [{ balance }] = await Promise.all([callPatiently(getBalance()), this.#loadEntries()]);
    this.balance = balance;
  }

  async #loadEntries() {
    const { entries, next_page_token } = await callPatiently(listEntries({ page_size: PAGE, page_token: this.entriesNext }));
    this.entries = [...this.entries, ...entries];
    this.entriesNext = next_page_token;
  }

  async #loadSessions() {
    const { sessions, next_page_token } = await callPatiently(listSessions({ page_size: PAGE, page_token: this.sessionsNext }));
    this.sessions = [...this.sessions, ...sessions];
    this.sessionsNext = next_page_token;
  }

  #entry(entry) {
    const about = has(`account.about.${entry.description}`) ? say(`account.about.${entry.description}`) : "";
    const title = [words("account.kind", entry.kind), about].filter(Boolean).join(" · ");
    return el(
      "li",
      {},
      el("span", {}, title, el("span", { className: "small" }, moment(entry.create_time))),
      el("span", { className: `amount${entry.amount_credits > 0 ? " more" : ""}` }, signed(entry.amount_credits), el("span", { className: "small" }, String(entry.balance_after_credits))),
    );
  }

  #session(session) {
    const device = session.device || words("account.platform", session.platform);
    const seen = session.current ? say("account.here") : say("account.seen", { time: moment(session.last_seen_time) });
    const end = session.current ? null : el("button", { className: "button quiet", type: "button", "aria-label": say("account.end_one", { device }) }, say("account.end"));
    end?.addEventListener("click", () => this.#try(() => this.#end(session)));
    return el("li", {}, el("span", {}, device, el("span", { className: "small" }, [session.address, seen].filter(Boolean).join(" · "))), end);
  }

  async #end(session) {
    await callPatiently(endSession({ session_id: session.session_id }));
    this.sessions = this.sessions.filter((each) => each !== session);
    this.announce(say("account.ended"));
    $("account-sessions-head").focus();
  }

  async #endOthers() {
    await callPatiently(endSessions({ keep_current: true }));
    this.sessions = [];
    this.sessionsNext = "";
    await this.#loadSessions();
    this.announce(say("account.ended"));
    $("account-sessions-head").focus();
  }
}
