// The page: what the studio says is shown, what the visitor does is asked of it.

import { Albums } from "./album.js";
import { ask, listen } from "./api.js";
import { Form } from "./form.js";
import { Player } from "./player.js";
import { SongCard } from "./song.js";

const songs = document.getElementById("songs");
const notice = document.getElementById("notice");
const cards = new Map();

function say(text) { document.getElementById("said").textContent = text; }

const player = new Player(() => {
  for (const card of cards.values()) { card.tick(); card.draw(); }
  follow();
});

// While something plays, what moves is moved.
let following = false;
function follow() {
  if (following || !player.playing) return;
  following = true;
  const step = () => {
    const card = cards.get(player.song);
    card?.tick();
    card?.draw();
    following = player.playing;
    if (following) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

const albums = new Albums(say);
const form = new Form(async (wish) => {
  form.fail("");
  try {
    const { song } = await ask("POST", "/songs", wish);
    // The sound comes by itself as soon as there is any.
    player.pause();
    Object.assign(player, { song, url: null, audio: null, wanted: true });
    say("Your song is being made.");
    cards.get(song)?.element.scrollIntoView({ behavior: "smooth", block: "nearest" });
    scrollTo = song;
  } catch (error) {
    form.fail(error.message);
  }
});
let scrollTo = null;

listen((view) => {
  notice.hidden = true;
  form.show(view);
  albums.show(view.albums);
  for (const [number, card] of cards) {
    if (!view.songs.some((one) => one.song === number)) {
      player.forget(number);
      card.element.remove();
      cards.delete(number);
    }
  }
  for (const one of view.songs) {
    if (!cards.has(one.song)) {
      const card = new SongCard(one.song, { player, say });
      cards.set(one.song, card);
      songs.prepend(card.element);
    }
    const card = cards.get(one.song);
    card.show(one, view.preparing);
    if (scrollTo === one.song) {
      scrollTo = null;
      card.element.scrollIntoView({ behavior: "smooth", block: "nearest" });
    }
  }
  songs.querySelector(".empty").hidden = cards.size > 0;
}, (over) => {
  notice.hidden = false;
  notice.textContent = over
    ? "The studio does not know this page any more. Reload it to begin anew."
    : "The studio does not answer. Waiting for it…";
});

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest?.("input, select, textarea, button, a, summary");
  if (event.code === "Space" && !busy) {
    const card = cards.get(player.song) ?? [...cards.values()].at(-1);
    if (card?.url) { event.preventDefault(); card.toggle(); }
  }
});

// Colours change with the scheme.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const card of cards.values()) card.draw();
});
