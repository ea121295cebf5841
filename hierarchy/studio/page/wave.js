// A song's waveform in the colours of its sections; before there is sound, its form.

export const KINDS = ["intro", "verse", "prechorus", "chorus", "postchorus", "bridge",
  "solo", "instrumental", "interlude", "outro", "silence", "other"];

function colour(element, label) {
  const name = KINDS.includes(label) ? label : "other";
  return getComputedStyle(element).getPropertyValue(`--${name}`).trim() || "#888";
}

export function drawWave(canvas, { sections, peaks, seconds, time }) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const paint = canvas.getContext("2d");
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  paint.clearRect(0, 0, width, height);
  const middle = height / 2;
  for (const one of sections) {
    const left = one.start / seconds * width, right = one.end / seconds * width;
    paint.fillStyle = colour(canvas, one.label);
    paint.globalAlpha = 0.16;
    paint.fillRect(left, 0, right - left - 1, height);
    if (!peaks) {
      // As tall as the section is to be loud.
      const tall = (0.25 + 0.65 * (one.energy ?? 0.5)) * height;
      paint.globalAlpha = 0.45;
      paint.fillRect(left + 1, middle - tall / 2, Math.max(1, right - left - 3), tall);
    }
  }
  if (peaks) drawPeaks(paint, { sections, peaks, seconds, time, width, middle, canvas });
  paint.globalAlpha = 1;
  if (time > 0) {
    paint.fillStyle = getComputedStyle(canvas).getPropertyValue("--ink");
    paint.fillRect(time / seconds * width - 1, 0, 2, height);
  }
}

function drawPeaks(paint, { sections, peaks, seconds, time, width, middle, canvas }) {
  const columns = Math.floor(width / 3), count = peaks.peak.length;
  let place = 0;
  paint.fillStyle = colour(canvas, sections[0]?.label);
  for (let column = 0; column < columns; column++) {
    const at = (column + 0.5) / columns * seconds;
    while (place + 1 < sections.length && at >= sections[place].end) {
      place += 1;
      paint.fillStyle = colour(canvas, sections[place].label);
    }
    const first = Math.floor(column / columns * count);
    const last = Math.max(first + 1, Math.floor((column + 1) / columns * count));
    let loud = 0;
    for (let i = first; i < last; i++) {
      loud = Math.max(loud, 0.5 * peaks.peak[i] + 0.9 * peaks.rms[i]);
    }
    const tall = Math.max(1, Math.min(1, loud / 255) * (middle - 2));
    paint.globalAlpha = at <= time ? 1 : 0.62;
    paint.fillRect(column * 3, middle - tall, 2, 2 * tall);
  }
}
