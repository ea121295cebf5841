// One song sounds at a time. A song may first be known by its first bars alone, and may
// change under the listener's ears: then its new sound takes over where the old one is.

const FADE = 60; // milliseconds

export class Player {
  constructor(changed) {
    this.changed = changed; // called when something that can be seen has changed
    this.song = null; // whose sound it is
    this.url = null;
    this.audio = null;
    this.wanted = false; // whether the listener wants to hear it
    this.rest = null; // where to go on when the rest of a song has come
  }

  get playing() { return Boolean(this.audio && !this.audio.paused); }
  get time() { return this.audio ? this.audio.currentTime : 0; }

  // Have this sound; plays on where the song was, or from `at`.
  load(song, url, { play = this.wanted, at = null } = {}) {
    if (url === this.url) {
      if (at !== null) this.seek(at);
      if (play) this.play();
      return;
    }
    const same = song === this.song;
    const before = this.audio;
    const from = at ?? (same ? (this.rest ?? this.time) : 0);
    const next = new Audio();
    next.preload = "auto";
    next.src = url;
    Object.assign(this, { song, url, wanted: play, rest: null });
    if (!same) before?.pause();
    this.audio = same && before ? before : next;
    next.addEventListener("loadedmetadata", () => {
      // The old sound has gone on in the meantime.
      const now = same && before && at === null ? Math.max(from, before.currentTime) : from;
      if (now) next.currentTime = Math.min(now, next.duration);
    }, { once: true });
    next.addEventListener("canplay", () => {
      if (this.url !== url) return;
      if (same && before && !before.paused) next.currentTime = before.currentTime;
      this.audio = next;
      if (this.wanted) this.play();
      if (before && before !== next) fadeAway(before);
      this.changed();
    }, { once: true });
    for (const name of ["play", "pause", "seeked"]) {
      next.addEventListener(name, () => this.changed());
    }
    next.addEventListener("ended", () => this.ended(next));
  }

  // Called when the sound is over; `whole` says whether that was all of the song.
  ended(audio) {
    if (audio !== this.audio) return;
    if (this.url.endsWith("/first.wav")) this.rest = audio.currentTime;
    else this.wanted = false;
    this.changed();
  }

  play() {
    this.wanted = true;
    this.rest = null;
    this.audio?.play().catch(() => { this.wanted = false; this.changed(); });
  }

  pause() {
    this.wanted = false;
    this.rest = null;
    this.audio?.pause();
  }

  seek(seconds) {
    if (this.audio) this.audio.currentTime = seconds;
    this.changed();
  }

  forget(song) {
    if (song !== this.song) return;
    this.pause();
    Object.assign(this, { song: null, url: null, audio: null });
  }
}

function fadeAway(audio) {
  if (audio.paused) return;
  const began = performance.now();
  const step = () => {
    const left = 1 - (performance.now() - began) / FADE;
    audio.volume = Math.max(0, left);
    if (left > 0) requestAnimationFrame(step);
    else audio.pause();
  };
  step();
}
