// Recordings of one's own: sent, looked at, and learned from when the visitor says so.

import { ask, send } from "./api.js";
import { make, size, span } from "./text.js";

const MINUTES = [2, 5, 10, 20, 40];

export class Albums {
  constructor(say) {
    this.say = say;
    this.sending = null; // {name, sent, total}
    this.error = "";
    this.views = [];
    this.shown = "";
    this.box = document.getElementById("albums");
    const panel = document.getElementById("album"), button = document.getElementById("own-music");
    button.addEventListener("click", () => {
      panel.hidden = !panel.hidden;
      button.setAttribute("aria-expanded", String(!panel.hidden));
    });
    const input = document.getElementById("album-files");
    input.addEventListener("change", () => {
      if (input.files.length) this.upload([...input.files]);
      input.value = "";
    });
    for (const name of ["dragover", "drop"]) {
      panel.addEventListener(name, (event) => {
        event.preventDefault();
        if (name === "drop") this.upload([...event.dataTransfer.files]);
      });
    }
  }

  async upload(files) {
    if (this.sending) return;
    const total = files.reduce((sum, file) => sum + file.size, 0);
    const refused = [];
    this.sending = { sent: 0, total };
    this.error = "";
    try {
      const { album } = await ask("POST", "/albums");
      let before = 0, taken = 0;
      for (const file of files) {
        try {
          await send(`/albums/${album}/files`, file, (sent) => {
            this.sending.sent = before + sent;
            this.draw();
          });
          taken += 1;
        } catch (error) { refused.push(error.message); }
        before += file.size;
      }
      if (taken) await ask("POST", `/albums/${album}/inspect`);
    } catch (error) { refused.push(error.message); }
    this.sending = null;
    this.error = refused.slice(0, 5).join(" ");
    this.draw();
  }

  show(views) {
    this.views = views;
    this.draw();
  }

  draw() {
    const parts = [];
    if (this.sending) {
      const { sent, total } = this.sending;
      parts.push(make("p", {}, `Sending: ${size(sent)} of ${size(total)}`),
        make("progress", { max: total || 1, value: sent, "aria-label": "Sending your files" }));
    }
    if (this.error) parts.push(make("p", { class: "error", role: "alert" }, this.error));
    // Drawn anew only when something other than a bar has changed, so that no field is
    // lost while somebody writes in it.
    const facts = JSON.stringify(this.views.map((one) => [one.album, one.found, one.job?.state, one.style, one.files, one.name]));
    const top = make("div", { class: "sending" }, ...parts);
    if (facts === this.shown) this.box.firstElementChild?.replaceWith(top);
    else {
      this.shown = facts;
      this.box.replaceChildren(top, ...this.views.map((view) => this.album(view)));
    }
    for (const view of this.views) this.progress(view);
  }

  album(view) {
    const box = make("div", { class: "album", "data-album": view.album });
    const act = (work) => async () => {
      try { await work(); } catch (error) { this.error = error.message; this.draw(); }
    };
    const working = ["waiting", "working"].includes(view.job?.state);
    if (working) {
      box.append(make("progress", { "aria-label": "How far it is" }), make("p", { class: "stage" }));
      box.append(make("button", {
        type: "button", class: "quiet", onclick: act(() => ask("POST", `/jobs/${view.job.job}/stop`)),
      }, "Stop"));
      return box;
    }
    if (view.job?.message) box.append(make("p", { class: "error", role: "alert" }, view.job.message));
    if (view.job?.state === "stopped") box.append(make("p", {}, "Stopped."));
    if (view.found) box.append(...this.found(view.found));
    if (view.style !== null) {
      box.append(make("p", {}, `“${view.name}” is among the styles now.`),
        make("a", { href: `/albums/${view.album}/model.zip`, download: "", class: "quiet" },
          "Download it to keep it"));
      return box;
    }
    if (view.found?.kept.length && view.job?.state !== "refused") {
      const name = make("input", { type: "text", maxlength: 40, value: `My album ${view.album}` });
      const minutes = make("select", {}, ...MINUTES.map((m) => make("option", { value: m, selected: m === 5 }, `${m} minutes`)));
      const takes = make("p", { class: "takes" });
      const say = () => {
        const before = view.found.seconds_before;
        takes.textContent = `This takes about ${span(before + 60 * minutes.value)}: ` +
          `${span(before)} to listen and get ready, then ${minutes.value} minutes of ` +
          "learning; more of it, and it sounds more like you. You can make songs meanwhile.";
      };
      minutes.addEventListener("change", say);
      say();
      box.append(
        make("label", { class: "field" }, "Name of the style", name),
        make("label", { class: "field" }, "Learn for", minutes), takes,
        make("button", {
          type: "button", class: "primary", onclick: act(() => ask("POST", `/albums/${view.album}/learn`, {
            name: name.value, minutes: Number(minutes.value),
          })),
        }, "Learn this style"));
    }
    box.append(make("button", {
      type: "button", class: "quiet", onclick: act(() => ask("DELETE", `/albums/${view.album}`)),
    }, "Remove these recordings"));
    return box;
  }

  found({ kept, refused, seconds }) {
    const parts = [];
    if (kept.length) {
      parts.push(make("p", {}, `${kept.length} ${kept.length === 1 ? "recording" : "recordings"}, ${span(seconds)} of music.`));
    }
    if (refused.length) {
      parts.push(make("details", { open: !kept.length },
        make("summary", {}, `${refused.length} not taken`),
        make("ul", { class: "refused" }, ...refused.map((one) => make("li", {}, `${one.name}: ${one.why}`)))));
    }
    return parts;
  }

  progress(view) {
    const box = this.box.querySelector(`[data-album="${view.album}"]`);
    const bar = box?.querySelector("progress"), job = view.job;
    if (!bar || !job) return;
    if (job.total) bar.value = job.done / job.total; else bar.removeAttribute("value");
    let text = job.state === "waiting"
      ? (job.ahead ? `Waiting for ${job.ahead} before it` : "Waiting") : job.stage || "Starting";
    if (job.do === "learn" && job.total) text += `, about ${span(job.total - job.done)} left`;
    box.querySelector(".stage").textContent = text;
  }
}
