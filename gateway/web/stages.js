// The stages of a song in the making, drawn from the job's event stream.

import { $, el } from "./dom.js";
import { locale, say } from "./text.js";

export const STAGES = ["audio_check", "audio_analyze", "segment_pick", "compose_params", "music_generate", "ab_eval"];

const LISTENING = 3; // of them the first so many are about a recording

export class Stages {
  // Without a recording nothing is listened to.
  constructor({ listening }) {
    this.stages = listening ? STAGES : STAGES.slice(LISTENING);
    this.rows = new Map();
    this.job = { state: "pending", step: "", progress_percent: 0, attempt: 0, place: 0, begins: "" };
    this.percent = new Map();
    this.seconds = new Map();
    this.began = new Map();
    $("stages").replaceChildren(...this.stages.map((stage) => this.row(stage)));
    this.show();
  }

  row(stage) {
    const name = el("span", { className: "stage-name" }, say(`stage.${stage}`));
    const bar = el("progress", { max: 100, value: 0, "aria-label": say(`stage.${stage}`) });
    const note = el("span", { className: "stage-note" });
    const row = el("li", {}, name, bar, note);
    this.rows.set(stage, { row, name, bar, note });
    return row;
  }

  // Takes one message of the stream in; returns the stage that has just begun, if any.
  take(message) {
    const { job, event } = message;
    let begun = null;
    // Whoever waits is told where and until about when.
    const { queue_position: place = 0, expected_start_time: begins = "" } = event ?? job ?? {};
    Object.assign(this.job, { place, begins });
    if (job) Object.assign(this.job, { state: job.state, attempt: job.attempt, error: job.error, progress_percent: Math.max(this.job.progress_percent, job.progress_percent) });
    if (event) {
      this.job.state = event.state;
      this.job.progress_percent = Math.max(this.job.progress_percent, event.progress_percent);
      if (event.step && this.rows.has(event.step)) {
        if (!this.began.has(event.step)) {
          this.began.set(event.step, Date.parse(event.event_time));
          begun = event.step;
        }
        this.job.step = event.step;
        this.percent.set(event.step, Math.max(this.percent.get(event.step) || 0, event.step_progress_percent));
        if (event.step_progress_percent >= 100) this.seconds.set(event.step, (Date.parse(event.event_time) - this.began.get(event.step)) / 1000);
      }
    }
    this.show();
    return begun;
  }

  show() {
    const at = this.stages.indexOf(this.job.step);
    const completed = this.job.state === "completed";
    this.stages.forEach((stage, index) => {
      const { row, name, bar, note } = this.rows.get(stage);
      const percent = completed || index < at ? 100 : this.percent.get(stage) || 0;
      const state = percent >= 100 ? "done" : index === at ? "now" : "waiting";
      row.className = state;
      if (state === "now") row.setAttribute("aria-current", "step");
      else row.removeAttribute("aria-current");
      name.textContent = say(`stage.${stage}`);
      bar.value = percent;
      note.textContent = this.seconds.has(stage) ? say("stage.seconds", { seconds: this.seconds.get(stage).toFixed(1) }) : state === "now" ? `${percent}%` : "";
    });
    const whole = completed ? 100 : this.job.progress_percent;
    $("whole").value = whole;
    $("whole-percent").textContent = `${whole}%`;
  }

  waiting() {
    const { place, begins } = this.job;
    if (!place) return say("making.waiting");
    if (!begins) return say("making.place", { place });
    const time = new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(begins));
    return say("making.place_time", { place, time });
  }

  // What is going on, in a sentence.
  words() {
    if (this.job.state === "pending" || this.job.state === "queued") return this.waiting();
    if (this.job.attempt > 1) return say("making.again", { attempt: this.job.attempt });
    return say("making.leave");
  }
}
