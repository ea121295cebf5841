// One song: how far it is, its waveform and sections, another take, undo, downloads.

import { ask } from "./api.js";
import { capital, chord, clock, key, make, span } from "./text.js";
import { drawWave } from "./wave.js";

const DOWNLOADS = [
  ["song.wav", "Song (WAV)"], ["song.ogg", "Song, small (OGG)"], ["stems.zip", "Stems"],
  ["session.zip", "Session"], ["song.mid", "MIDI"], ["plan.json", "Plan"],
];
const AFTER = 2.5; // seconds that the last bar rings on

export class SongCard {
  constructor(number, { player, say }) {
    Object.assign(this, { number, player, say, peaks: null, shown: {} });
    this.element = document.getElementById("song").content.firstElementChild.cloneNode(true);
    this.part = (selector) => this.element.querySelector(selector);
    this.part(".play").addEventListener("click", () => this.toggle());
    this.part(".undo").addEventListener("click", () => this.post("undo"));
    this.part(".redo").addEventListener("click", () => this.post("redo"));
    this.part(".stop").addEventListener("click", () =>
      this.tryTo(() => ask("POST", `/jobs/${this.view.job.job}/stop`)));
    this.part(".remove").addEventListener("click", () => {
      player.forget(number);
      this.tryTo(() => ask("DELETE", `/songs/${number}`));
    });
    this.part(".seek").addEventListener("input", (event) => this.playFrom(Number(event.target.value), this.player.wanted));
    new ResizeObserver(() => this.draw()).observe(this.part("canvas"));
  }

  get url() {
    const { version, first } = this.view;
    if (version) return `/songs/${this.number}/${version}/play.wav`;
    return first ? `/songs/${this.number}/first.wav` : null;
  }

  get mine() { return this.player.song === this.number; }
  get sections() { return this.view.sections ?? placed(this.view.sketch); }
  get seconds() {
    const last = this.sections.at(-1);
    return (last?.end ?? 0) + (this.view.version ? AFTER : 0) || 1;
  }

  get working() { return ["waiting", "working"].includes(this.view.job?.state); }

  show(view, preparing) {
    const before = this.view ?? {};
    this.view = view;
    if (view.version && view.version !== this.shown.version) {
      this.shown.version = view.version;
      this.peaks = null;
      ask("GET", `/songs/${this.number}/${view.version}/peaks.json`)
        .then((peaks) => { if (this.view.version === view.version) { this.peaks = peaks; this.draw(); } })
        .catch(() => {});
    }
    if (this.mine && this.url && this.url !== this.player.url) {
      // Sound of a song that is being listened to, or waited for.
      this.player.load(this.number, this.url);
    }
    this.tell(before, view);
    this.part("h2").textContent = view.title === "Untitled" ? `Song ${this.number}` : view.title;
    this.part(".facts").textContent = view.key
      ? [view.style, key(view.key), `${+view.tempo.toFixed(1)} BPM`, view.meter, clock(view.seconds), `seed ${view.seed}`].join(" · ")
      : view.style;
    this.showJob(view.job);
    this.showSections();
    this.showDownloads();
    const now = preparing.filter((one) => one.startsWith(`${this.number}/`));
    for (const link of this.part(".downloads").querySelectorAll("a")) {
      const busy = now.includes(`${this.number}/${link.dataset.file}`);
      link.textContent = link.dataset.name + (busy ? " …" : "");
      link.setAttribute("aria-busy", String(busy));
    }
    this.tick();
    this.draw();
  }

  // Say to those who listen instead of looking what has changed.
  tell(before, view) {
    const failed = view.job?.message && view.job.message !== before.job?.message;
    if (failed) this.say(view.job.message);
    else if (view.version !== before.version && view.version && before.job) {
      this.say(view.changed ? `${view.changed} is made again.` : "The song is ready.");
    } else if (view.first && !before.first) this.say("The first sections play; the rest is being made.");
  }

  showJob(job) {
    const box = this.part(".job"), bar = this.part("progress");
    box.hidden = !this.working;
    this.part(".error").textContent = !this.working && job?.message ? job.message : "";
    if (job?.state === "stopped" && !this.view.version) {
      this.part(".error").textContent = "Stopped before it was ready.";
    }
    if (!this.working) return;
    const what = job.do === "again" ? `${capital(job.about)} again: ` : "";
    let text = `${what}${(job.stage || "Starting").toLowerCase()}`;
    if (job.state === "waiting") {
      text = job.ahead ? `Waiting for ${job.ahead} before it` : "Waiting for the studio to wake up";
    }
    const share = job.total ? job.done / job.total : 0;
    if (share > 0.1 && job.stage === "Making the song") {
      text += `, about ${span(job.seconds / share * (1 - share))} left`;
    }
    if (share) bar.value = share; else bar.removeAttribute("value");
    bar.setAttribute("aria-label", "How far the song is");
    this.part(".stage").textContent = capital(text);
  }

  showSections() {
    const { sections, working } = this;
    const facts = JSON.stringify([sections, working, this.url]);
    if (facts === this.shown.facts) return;
    this.shown.facts = facts;
    const ready = Boolean(this.view.version);
    const held = document.activeElement?.dataset?.hold;
    const share = (seconds) => `${seconds / this.seconds * 100}%`;
    this.part(".names").replaceChildren(...sections.map((one) => {
      const button = make("button", {
        type: "button", class: one.label, title: `${capital(one.name)}, ${clock(one.start)}`,
        "aria-label": `Play ${one.name}, ${clock(one.start)}`, disabled: !this.url,
        "data-hold": `name ${one.name}`, onclick: () => this.playFrom(one.start, true),
      }, capital(one.name));
      button.style.left = share(one.start);
      button.style.width = share(one.end - one.start);
      return button;
    }));
    this.part("details.sections").hidden = !ready;
    this.part("details.sections ul").replaceChildren(...sections.map((one) => make("li", { class: one.label },
      make("span", { class: "label" }, capital(one.name)),
      make("span", { class: "when" }, `${clock(one.start)} – ${clock(one.end)}` +
        (one.name === this.view.changed ? ", new" : "")),
      make("span", { class: "chords" }, one.chords ? one.chords.map((bar) => bar.map(chord).join(" ")).join(" | ") : ""),
      make("button", {
        type: "button", class: "quiet", "aria-label": `Play ${one.name}`,
        "data-hold": `play ${one.name}`, onclick: () => this.playFrom(one.start, true),
      }, "Play"),
      make("button", {
        type: "button", class: "quiet again", "aria-label": `Make ${one.name} again`,
        // Not disabled: focus would be lost for those who work with the keyboard.
        "aria-disabled": working ? "true" : null, "data-hold": `again ${one.name}`,
        onclick: () => { if (!this.working) this.again(one); },
      }, "Again"),
    )));
    if (held) this.element.querySelector(`[data-hold="${CSS.escape(held)}"]`)?.focus();
  }

  showDownloads() {
    const { version } = this.view;
    if (version === this.shown.downloads) return;
    this.shown.downloads = version;
    const box = this.part(".downloads");
    box.replaceChildren(...(version ? DOWNLOADS : []).map(([file, name]) => make("a", {
      href: `/songs/${this.number}/${version}/${file}`, download: "", class: "quiet",
      "data-file": file, "data-name": name,
    }, name)));
    if (version) box.prepend(make("span", {}, "Download"));
  }

  // What moves while a song plays.
  tick() {
    const { view, mine, player } = this;
    const time = mine ? player.time : 0;
    const button = this.part(".play");
    button.textContent = mine && player.playing ? "Pause" : "Play";
    button.disabled = !this.url;
    this.part(".undo").disabled = !view.can_undo || this.working;
    this.part(".redo").disabled = !view.can_redo || this.working;
    const now = this.sections.findLast((one) => one.start <= time + 0.01);
    const waits = mine && player.rest !== null;
    this.part(".clock").textContent = `${clock(time)} / ${clock(this.seconds)}` +
      (waits ? ", the rest is on its way" : "");
    const seek = this.part(".seek");
    seek.max = this.seconds;
    seek.disabled = !this.url;
    if (document.activeElement !== seek || player.playing) seek.value = time;
    seek.setAttribute("aria-label", "Place in the song");
    seek.setAttribute("aria-valuetext", `${clock(time)}, ${now?.name ?? ""}`);
    for (const one of this.part(".names").querySelectorAll("button")) {
      one.classList.toggle("now", mine && time > 0 && one.dataset.hold === `name ${now?.name}`);
    }
  }

  draw() {
    if (!this.view) return;
    drawWave(this.part("canvas"), {
      sections: this.sections, peaks: this.peaks, seconds: this.seconds,
      time: this.mine ? this.player.time : 0,
    });
  }

  toggle() {
    if (this.mine && this.player.playing) this.player.pause();
    else if (this.mine && this.player.url === this.url) {
      if (this.player.time > this.seconds - 0.1) this.player.seek(0);
      this.player.play();
    } else this.player.load(this.number, this.url, { play: true });
  }

  playFrom(seconds, play) {
    if (this.url) this.player.load(this.number, this.url, { play, at: seconds });
    this.tick();
    this.draw();
  }

  again(section) {
    this.tryTo(async () => {
      await ask("POST", `/songs/${this.number}/again`, { section: section.name });
      this.say(`Making ${section.name} again.`);
    });
  }

  post(what) { this.tryTo(() => ask("POST", `/songs/${this.number}/${what}`)); }

  async tryTo(work) {
    try { await work(); } catch (error) { this.part(".error").textContent = error.message; }
  }
}

// Sections of a form that has no tempo yet, a bar a second.
function placed(sketch) {
  let start = 0;
  return (sketch ?? []).map((one) => {
    const section = { name: one.label, ...one, start, end: start + one.bars };
    start = section.end;
    return section;
  });
}
