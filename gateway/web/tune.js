// The tune that was heard, as a picture that can be changed: the curve of the voice, the notes read from it, and what
// another song of it shall be like.

import { callPatiently, randomId } from "./api.js";
import { $, el } from "./dom.js";
import { clock, say, styleName } from "./text.js";
import { make } from "./wave.js";

const LEAST_A_SECOND = 64;
const SEMITONE = 12;
const AROUND = 3;
const LOWEST = 24;
const HIGHEST = 108;
const MOST_SEMITONES = 12;
const NAMES = ["C", "C#", "D", "E♭", "E", "F", "F#", "G", "A♭", "A", "B♭", "B"];

const nameOf = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;

export class Tune {
  // `complain` hears errors, `announce` speaks, `started` hears the new track.
  constructor({ complain, announce, started }) {
    Object.assign(this, { tell: { complain, announce, started }, track: null, heard: null, notes: [], at: -1, price: null, wish: null });
    $("tune").addEventListener("toggle", () => $("tune").open && this.load());
    $("tune-up").addEventListener("click", () => this.move(1));
    $("tune-down").addEventListener("click", () => this.move(-1));
    $("tune-drop").addEventListener("click", () => this.drop());
    $("tune-undo").addEventListener("click", () => this.begin());
    $("tune-change").addEventListener("submit", (event) => this.again(event));
    const shifts = Array.from({ length: 2 * MOST_SEMITONES + 1 }, (_, at) => MOST_SEMITONES - at);
    $("tune-transpose").append(...shifts.map((by) => el("option", { value: by }, by > 0 ? `+${by}` : String(by))));
  }

  // Another song is shown: its tune is fetched when somebody wants to see it.
  open(track) {
    if (this.track?.track_id === track.track_id) return;
    Object.assign(this, { track, heard: null, wish: null });
    $("tune").open = false;
    $("tune").hidden = !track.analysis; // a song of words alone has no tune that was heard
    $("tune-roll").replaceChildren();
  }

  words() {
    $("tune-price").textContent = this.price === null ? "" : say("words.price", { price: this.price });
    const chosen = $("tune-style").value;
    const styles = [...document.querySelectorAll('input[name="style"]')].map((radio) => radio.value);
    $("tune-style").replaceChildren(...styles.map((style) => el("option", { value: style }, style ? styleName(style) : say("style.any"))));
    $("tune-style").value = chosen;
    if (this.heard) this.draw();
  }

  async load() {
    if (this.heard) return;
    try {
      this.heard = await callPatiently("GET", `/api/v1/tracks/${this.track.track_id}/tune`);
    } catch (error) {
      $("tune").open = false;
      this.tell.complain(error);
      return;
    }
    this.begin();
  }

  // Everything as it was heard.
  begin() {
    const { analysis } = this.heard;
    this.notes = analysis.notes.map((note) => ({ ...note }));
    this.at = -1;
    this.changed = false;
    $("tune-transpose").value = "0";
    $("tune-tempo").value = Math.round(analysis.tempo_bpm);
    $("tune-from").value = (analysis.segment_start_ms / 1000).toFixed(1);
    $("tune-to").value = (analysis.segment_end_ms / 1000).toFixed(1);
    $("tune-style").value = this.track.style;
    this.words();
  }

  draw() {
    const { f0_cents: curve, f0_step_ms: step } = this.heard;
    const pitches = this.notes.map((note) => note.pitch);
    const low = Math.min(...pitches) - AROUND;
    const high = Math.max(...pitches) + AROUND;
    const seconds = Math.max((curve.length * step) / 1000, 0.1);
    // As wide as its frame, and wider where notes would get too small to be hit.
    this.scale = Math.max(LEAST_A_SECOND, $("tune-roll").clientWidth / seconds);
    const width = Math.floor(seconds * this.scale);
    const height = (high - low) * SEMITONE;
    const y = (pitch) => (high - pitch) * SEMITONE;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": say("tune.picture") });
    for (let pitch = low + 1; pitch < high; pitch++) if (pitch % 12 === 0) svg.append(make("line", { x1: 0, x2: width, y1: y(pitch), y2: y(pitch), class: "octave" }));
    this.notes.forEach((note, at) => svg.append(this.block(note, at, y)));
    svg.append(make("path", { d: voice(curve, (step * this.scale) / 1000, y, low, high), class: "voice" }));
    $("tune-roll").replaceChildren(svg);
    this.show();
  }

  block(note, at, y) {
    const x = (note.start_ms * this.scale) / 1000;
    const width = Math.max(((note.end_ms - note.start_ms) * this.scale) / 1000 - 1, 3);
    const label = say("tune.note", { number: at + 1, count: this.notes.length, name: nameOf(note.pitch), at: clock(note.start_ms / 1000) });
    const rect = make("rect", { x, y: y(note.pitch) - SEMITONE / 2, width, height: SEMITONE, rx: 3, class: "note", role: "button", tabindex: 0, "aria-label": label, "aria-pressed": String(at === this.at) });
    rect.addEventListener("click", () => rect.focus());
    rect.addEventListener("focus", () => this.pick(at));
    rect.addEventListener("keydown", (event) => this.key(event));
    return rect;
  }

  pick(at) {
    this.at = at;
    document.querySelectorAll("#tune-roll .note").forEach((rect, each) => rect.setAttribute("aria-pressed", String(each === at)));
    this.show();
  }

  show() {
    const picked = this.notes[this.at];
    $("tune-up").disabled = !picked || picked.pitch >= HIGHEST;
    $("tune-down").disabled = !picked || picked.pitch <= LOWEST;
    $("tune-drop").disabled = !picked || this.notes.length < 2;
    $("tune-picked").textContent = picked ? nameOf(picked.pitch) : "";
  }

  key(event) {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (by) this.move(by);
    else if (event.key === "Delete" || event.key === "Backspace") this.drop();
    else return;
    event.preventDefault();
  }

  move(by) {
    const note = this.notes[this.at];
    if (!note || note.pitch + by > HIGHEST || note.pitch + by < LOWEST) return;
    note.pitch += by;
    this.redraw();
    this.tell.announce(nameOf(note.pitch));
  }

  drop() {
    if (!this.notes[this.at] || this.notes.length < 2) return;
    this.notes.splice(this.at, 1);
    this.at = Math.min(this.at, this.notes.length - 1);
    this.redraw();
    this.tell.announce(say("tune.dropped"));
  }

  // The picture is drawn anew; where the person was, the person stays.
  redraw() {
    this.changed = true;
    const inside = $("tune-roll").contains(document.activeElement);
    this.draw();
    if (inside) $("tune-roll").querySelectorAll(".note")[this.at].focus({ preventScroll: true });
  }

  change() {
    const { analysis } = this.heard;
    const tempo = Number($("tune-tempo").value);
    const from = Math.round(Number($("tune-from").value) * 1000);
    const to = Math.round(Number($("tune-to").value) * 1000);
    const change = { transpose_semitones: Number($("tune-transpose").value) };
    if (this.changed) change.notes = this.notes;
    if (tempo !== Math.round(analysis.tempo_bpm)) change.tempo_bpm = tempo;
    if (Math.abs(from - analysis.segment_start_ms) > 50 || Math.abs(to - analysis.segment_end_ms) > 50) Object.assign(change, { segment_start_ms: from, segment_end_ms: to });
    return change;
  }

  async again(event) {
    event.preventDefault();
    if (!this.heard) return;
    const { track } = this;
    const body = { source_track_id: track.track_id, tune_change: this.change(), style: $("tune-style").value, mood: track.mood, title: track.title, duration_s: track.duration_s };
    // The same wish keeps its key until it was answered, so that asking twice never costs two songs.
    const text = JSON.stringify(body);
    if (this.wish?.text !== text) this.wish = { text, key: randomId() };
    $("tune-make").disabled = true;
    this.tell.complain(null);
    try {
      const made = await callPatiently("POST", "/api/v1/tracks", body, { "Idempotency-Key": this.wish.key });
      this.wish = null;
      this.tell.started(made);
    } catch (error) {
      if (!error.passing) this.wish = null;
      this.tell.complain(error);
    }
    $("tune-make").disabled = false;
  }
}

// The curve as a path, broken where nobody sings.
function voice(curve, across, y, low, high) {
  let d = "";
  let sings = false;
  curve.forEach((cents, at) => {
    const pitch = cents / 100;
    const inside = cents > 0 && pitch > low && pitch < high;
    if (inside) d += `${sings ? "L" : "M"}${(at * across).toFixed(1)} ${y(pitch).toFixed(1)}`;
    sings = inside;
  });
  return d;
}
