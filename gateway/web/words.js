// Words for the song, written by the server: asked for beside the box for lyrics, shown twice, one taken into the box.

import { callPatiently, randomId } from "./api.js";
import { generateLyrics } from "./client.js";
import { $, el } from "./dom.js";
import { say } from "./text.js";

export class Words {
  constructor({ complain, announce, paid, taken }) {
    this.price = null;
    this.asking = false;
    this.wish = null;
    this.versions = [];
    this.tell = { complain, announce, paid, taken };
    $("words-write").addEventListener("click", () => this.write());
    $("words-theme").addEventListener("input", () => this.show());
    $("words-theme").addEventListener("keydown", (event) => {
      // Enter asks for words here; it must not order the song around the box.
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.write();
    });
  }

  // What the button says and whether it can be pressed.
  show() {
    $("words-write").disabled = this.asking || !$("words-theme").value.trim();
    $("words-write").textContent = say(this.asking ? "words.writing" : "words.write");
    $("words-price").textContent = this.price === null ? "" : say("words.price", { price: this.price });
    $("words-versions").replaceChildren(...this.versions.map((version) => this.card(version)));
  }

  async write() {
    if ($("words-write").disabled) return;
    const form = new FormData($("wish"));
    const body = { theme: $("words-theme").value.trim(), style: form.get("style"), mood: form.get("mood"), title: form.get("title").trim() };
    // The same wish keeps its key until it was answered, so that asking twice never costs two texts.
    const text = JSON.stringify(body);
    if (this.wish?.text !== text) this.wish = { text, key: randomId() };
    this.tell.complain(null);
    this.asking = true;
    this.show();
    try {
      const { versions } = await callPatiently(generateLyrics(body), { "Idempotency-Key": this.wish.key });
      if (versions.length) {
        this.versions = versions;
        this.wish = null;
        this.tell.announce(say("words.ready"));
      } else this.tell.complain(say("words.slow"));
    } catch (error) {
      // A refusal is the end of this wish; the next one may fare better.
      if (!error.passing || error.symbol === "LYRICS_UNAVAILABLE") this.wish = null;
      this.tell.complain(error);
    }
    this.asking = false;
    this.show();
    this.tell.paid();
  }

  card(version) {
    const head = el("h3", { id: `words-${version.label}` }, el("span", { className: "letter", "aria-hidden": "true" }, version.label), version.title);
    const use = el("button", { type: "button", className: "button quiet", "aria-describedby": head.id }, say("words.use"));
    use.addEventListener("click", () => {
      $("lyrics").value = version.content;
      if (!$("title").value.trim()) $("title").value = version.title;
      $("lyrics").focus();
      this.tell.taken();
    });
    return el("article", { className: `written ${version.label.toLowerCase()}`, "aria-labelledby": head.id }, head, el("p", { className: "sheet" }, version.content), el("p", { className: "small" }, version.provider === "offline" ? say("engine.writer") : version.provider), use);
  }
}
