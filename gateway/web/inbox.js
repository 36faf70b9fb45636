// The inbox in the account corner: what happened to the account, and which songs became ready meanwhile.

import { callPatiently } from "./api.js";
import { listNotifications, readNotification, readNotifications } from "./client.js";
import { $, el } from "./dom.js";
import { moment, say, whenLocaleChanges } from "./text.js";

const PAGE = 5;

export class Inbox {
  // `attempt` does something and shows what went wrong, `left` hears that one goes to what a notice is about.
  constructor({ attempt, announce, left }) {
    Object.assign(this, { attempt, announce, left, notices: [], next: "", unread: 0 });
    $("inbox-more").addEventListener("click", () => attempt(() => this.#more()));
    $("inbox-read").addEventListener("click", () => attempt(() => this.#readAll()));
    // The words come from the server, in one language.
    whenLocaleChanges(() => this.notices.length && attempt(() => this.load()));
  }

  async load() {
    this.notices = [];
    this.next = "";
    await this.#more();
  }

  async #more() {
    const { notifications, next_page_token, unread_count } = await callPatiently(listNotifications({ page_size: PAGE, page_token: this.next }));
    this.notices = [...this.notices, ...notifications];
    this.next = next_page_token;
    this.unread = unread_count;
  }

  show() {
    const { notices, next, unread } = this;
    $("inbox").hidden = !notices.length;
    $("inbox-head").textContent = unread ? say("inbox.unread", { count: unread }) : say("inbox.head");
    $("inbox-list").replaceChildren(...notices.map((notice) => this.#notice(notice)));
    $("inbox-more").hidden = !next;
    $("inbox-read").hidden = !unread;
  }

  #notice(notice) {
    const { kind, title, text, read, subject_id: track, create_time: time } = notice;
    const head = el(read ? "span" : "strong", {}, title);
    const go = kind === "song_ready" && track ? el("a", { className: "button quiet", href: `#track=${track}`, "aria-label": `${say("inbox.open")}: ${text}` }, say("inbox.open")) : null;
    go?.addEventListener("click", () => {
      this.left();
      if (!read) this.attempt(() => this.#read(notice));
    });
    return el("li", {}, el("span", { className: "notice-words" }, head, el("span", { className: "small" }, `${text}\n${moment(time)}`)), go);
  }

  async #read(notice) {
    this.unread = (await callPatiently(readNotification({ notification_id: notice.notification_id }))).unread_count;
    notice.read = true;
  }

  async #readAll() {
    await callPatiently(readNotifications());
    for (const notice of this.notices) notice.read = true;
    this.unread = 0;
    this.announce(say("inbox.done"));
    $("inbox-head").focus();
  }
}
