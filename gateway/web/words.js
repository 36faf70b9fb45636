// Words for the song, written by the server: asked for beside the box for lyrics, shown twice, while they grow if a model
// writes them, one taken into the box.

import { callPatiently, randomId } from "./api.js";
import { generateLyrics, listTemplates, watchLyrics } from "./client.js";
import { $, el } from "./dom.js";
import { watch } from "./events.js";
import { say, whenLocaleChanges } from "./text.js";

export class Words {
  constructor({ complain, announce, paid, taken }) {
    this.price = null;
    this.asking = false;
    this.wish = null;
    this.versions = [];
    this.growing = new Map();
    this.tell = { complain, announce, paid, taken };
    $("words-write").addEventListener("click", () => this.write());
    $("words-theme").addEventListener("input", () => this.show());
    $("words-theme").addEventListener("focus", () => this.offer());
    whenLocaleChanges(() => $("words-templates").replaceChildren());
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

  // Offers what a song can be started from, once somebody is about to write.
  async offer() {
    const place = $("words-templates");
    if (place.children.length) return;
    const { templates } = await callPatiently(listTemplates({ page_size: 12 })).catch(() => ({ templates: [] }));
    place.replaceChildren(...templates.map((template) => this.start(template)));
    place.hidden = !templates.length;
  }

  start(template) {
    const button = el("button", { type: "button", className: "button quiet" }, template.title);
    button.addEventListener("click", () => {
      $("words-theme").value = template.theme;
      for (const name of ["style", "mood"]) if (template[name]) $("wish").elements[name].value = template[name];
      this.show();
      $("words-write").focus();
    });
    return button;
  }

  async write() {
    if ($("words-write").disabled) return;
    const form = new FormData($("wish"));
    const body = { theme: $("words-theme").value.trim(), style: form.get("style"), mood: form.get("mood"), title: form.get("title").trim(), in_background: true };
    // The same wish keeps its key until it was answered, so that asking twice never costs two texts.
    const text = JSON.stringify(body);
    if (this.wish?.text !== text) this.wish = { text, key: randomId() };
    this.tell.complain(null);
    this.asking = true;
    this.show();
    try {
      const ask = () => callPatiently(generateLyrics(body), { "Idempotency-Key": this.wish.key });
      let { versions, lyrics } = await ask();
      if (!versions.length) versions = await this.watch(lyrics.lyrics_id);
      // Of what failed, a repeat is told why, in our language.
      if (!versions.length) ({ versions } = await ask());
      this.versions = versions;
      this.wish = null;
      this.tell.announce(say("words.ready"));
    } catch (error) {
      // A refusal is the end of this wish; the next one may fare better.
      if (!error.passing || error.symbol === "LYRICS_UNAVAILABLE") this.wish = null;
      this.tell.complain(error);
    }
    this.asking = false;
    this.growing.clear();
    this.show();
    this.tell.paid();
  }

  // Shows the words as they come; resolves to the versions, to none if nobody wrote them.
  async watch(lyrics_id) {
    let versions = [];
    let newest = 0;
    for await (const { lyrics, draft } of watch(watchLyrics({ lyrics_id }), { stop: new AbortController().signal })) {
      if (lyrics) versions = lyrics.versions;
      if (!draft) continue;
      if (draft.draft > newest) this.growing.clear();
      newest = draft.draft;
      this.growing.set(draft.label, (this.growing.get(draft.label) ?? "") + draft.text);
      $("words-versions").replaceChildren(...Array.from(this.growing, ([label, text]) => this.sheet(label, text)));
    }
    return versions;
  }

  // A version that is still being written. Nobody is read every few syllables; the end is announced.
  sheet(label, text) {
    const letter = el("span", { className: "letter", "aria-hidden": "true" }, label);
    return el("article", { className: `written ${label.toLowerCase()}`, "aria-busy": "true" }, el("h3", {}, letter, say("words.writing")), el("p", { className: "sheet", tabIndex: 0 }, text));
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
    return el("article", { className: `written ${version.label.toLowerCase()}`, "aria-labelledby": head.id }, head, el("p", { className: "sheet", tabIndex: 0 }, version.content), el("p", { className: "small" }, version.provider === "offline" ? say("engine.writer") : version.provider), use);
  }
}
