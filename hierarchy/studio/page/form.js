// The left side: what is asked of a song.

import { capital, key, make } from "./text.js";

const FORM_NAMES = {
  "verse-chorus": "Verse and chorus",
  "verse-chorus-bridge": "Verse, chorus and a bridge",
  aaba: "AABA: a theme, a bridge, the theme",
  strophic: "Verses only",
  "through-composed": "Always something new",
  free: "Free: the composer decides",
};
const LABEL_NAMES = { prechorus: "pre-chorus", postchorus: "post-chorus" };
const OWN = "own";
const KEYS = ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];

const $ = (name) => document.getElementById(name);

export class Form {
  constructor(submit) {
    this.rows = []; // {label, letter, bars}
    this.own = false; // whether the visitor has changed the list
    this.styles = "";
    $("wish").addEventListener("submit", (event) => {
      event.preventDefault();
      submit(this.wish());
    });
    $("form").addEventListener("change", () => this.choose($("form").value));
    $("add").addEventListener("click", () => {
      this.rows.push({ label: $("add-label").value, letter: null, bars: 8 });
      this.edited();
      this.list().lastElementChild.querySelector("input").focus();
    });
    for (const dial of document.querySelectorAll(".dial input")) {
      dial.addEventListener("input", () => this.read(dial));
      this.read(dial);
    }
    $("key").append(make("option", { value: "" }, "any"));
    for (const mode of ["maj", "min"]) {
      const group = make("optgroup", { label: mode === "maj" ? "Major" : "Minor" });
      group.append(...KEYS.map((k) => make("option", { value: `${k}:${mode}` }, key(`${k}:${mode}`))));
      $("key").append(group);
    }
  }

  list() { return $("sections").querySelector("ol"); }

  // What there is to choose from, as the studio says.
  show({ styles, forms, labels, meters }) {
    if (!this.forms) {
      this.forms = forms;
      $("form").append(
        ...Object.keys(forms).map((name) => make("option", { value: name }, FORM_NAMES[name] ?? name)),
        make("option", { value: OWN }, "My own list of sections"),
      );
      $("meter").append(...meters.map((m) => make("option", { value: m, selected: m === "4/4" }, m)));
      $("add-label").append(...labels.map((l) => make("option", { value: l }, LABEL_NAMES[l] ?? l)));
      $("add-label").value = "verse";
      this.choose("verse-chorus");
    }
    const names = JSON.stringify(styles);
    if (names === this.styles) return;
    const before = this.styles ? JSON.parse(this.styles).length : 0;
    const chosen = before && styles.length > before ? styles.length - 1 : this.style();
    this.styles = names;
    $("styles").querySelector(".choices").replaceChildren(...styles.map((style) => {
      const radio = make("input", {
        type: "radio", name: "style", value: style.style, checked: style.style === chosen,
      });
      return make("label", { class: "choice" }, radio, make("span", {}, capital(style.name)));
    }));
  }

  style() {
    return Number(document.querySelector("input[name=style]:checked")?.value ?? 0);
  }

  choose(name) {
    this.own = name === OWN;
    $("form").value = name;
    if (name === OWN) $("sections").open = true;
    else this.rows = this.forms[name].map((row) => ({ ...row }));
    this.draw();
  }

  edited() {
    this.own = true;
    $("form").value = OWN;
    this.draw();
  }

  draw() {
    const list = this.list();
    $("sections").hidden = $("form").value === "free";
    list.replaceChildren(...this.rows.map((row, place) => this.row(row, place)));
    const counted = this.own && this.rows.length > 0 && this.rows.every((row) => row.bars);
    $("minutes").disabled = counted;
    this.read($("minutes"));
  }

  row(row, place) {
    const name = LABEL_NAMES[row.label] ?? row.label;
    const where = `${name}, section ${place + 1}`;
    const bars = make("input", {
      type: "number", min: 1, max: 64, value: row.bars, placeholder: "–",
      "aria-label": `Bars of ${where}`,
    });
    bars.addEventListener("change", () => {
      row.bars = bars.value && bars.checkValidity() ? Number(bars.value) : null;
      this.edited();
      this.list().children[place]?.querySelector("input").focus();
    });
    const button = (text, label, disabled, press) =>
      make("button", { type: "button", class: "tool", "aria-label": `${label} ${where}`, title: label, disabled, onclick: press }, text);
    const handle = make("span", { class: "handle", "aria-hidden": "true" }, "⠿");
    const item = make("li", { class: `section ${row.label}` },
      handle,
      make("span", { class: "label" }, capital(name)),
      make("label", { class: "bars" }, bars, " bars"),
      button("↑", "Move up", place === 0, () => this.move(place, place - 1, "Move up")),
      button("↓", "Move down", place === this.rows.length - 1, () => this.move(place, place + 1, "Move down")),
      button("×", "Remove", this.rows.length === 1, () => {
        this.rows.splice(place, 1);
        this.edited();
        const left = this.list().children;
        left[Math.min(place, left.length - 1)]?.querySelector("input").focus();
      }),
    );
    handle.addEventListener("pointerdown", (event) => this.drag(event, item, place));
    return item;
  }

  move(from, to, tool) {
    this.rows.splice(to, 0, ...this.rows.splice(from, 1));
    this.edited();
    const buttons = [...this.list().children[to].querySelectorAll("button")];
    const same = buttons.find((one) => one.title === tool && !one.disabled);
    (same ?? buttons.find((one) => !one.disabled)).focus();
  }

  drag(event, item, from) {
    event.preventDefault();
    const list = this.list(), handle = event.currentTarget;
    handle.setPointerCapture(event.pointerId);
    item.classList.add("dragged");
    const middle = (one) => {
      const box = one.getBoundingClientRect();
      return box.top + box.height / 2;
    };
    const follow = ({ clientY }) => {
      // The others make room; what is dragged stays in the page, or it would be let go.
      let other;
      while ((other = item.nextElementSibling) && clientY > middle(other)) item.before(other);
      while ((other = item.previousElementSibling) && clientY < middle(other)) item.after(other);
    };
    const drop = () => {
      handle.removeEventListener("pointermove", follow);
      item.classList.remove("dragged");
      const to = [...list.children].indexOf(item);
      if (to !== from) {
        this.rows.splice(to, 0, ...this.rows.splice(from, 1));
        this.edited();
      }
    };
    handle.addEventListener("pointermove", follow);
    handle.addEventListener("pointerup", drop, { once: true });
    handle.addEventListener("pointercancel", drop, { once: true });
  }

  // Say in words where a dial stands.
  read(dial) {
    const share = Number(dial.value);
    const words = {
      minutes: () => dial.disabled ? "as the list says" :
        `about ${share} ${share === 1 ? "minute" : "minutes"}`,
      mood: () => ["very calm", "calm", "between calm and lively", "lively", "very lively"][Math.round(share * 4)],
      freedom: () => share === 0 ? "keeps to the style" : `${Math.round(share * 100)} %`,
      variation: () => share === 0 ? "return as they were" : `${Math.round(share * 100)} %`,
    }[dial.id]();
    document.querySelector(`output[for=${dial.id}]`).textContent = words;
    dial.setAttribute("aria-valuetext", words);
  }

  wish() {
    const number = (name) => $(name).value === "" ? null : Number($(name).value);
    const wish = {
      style: this.style(),
      key: $("key").value || null,
      tempo: number("tempo"),
      meter: $("meter").value,
      minutes: $("minutes").disabled ? null : number("minutes"),
      mood: number("mood"),
      freedom: number("freedom"),
      chorus_variation: number("variation"),
      seed: number("seed"),
      title: $("title").value.trim() || "Untitled",
    };
    if (this.own) wish.sections = this.rows;
    else wish.form = $("form").value;
    return wish;
  }

  fail(message) { $("wish-error").textContent = message; }
}
