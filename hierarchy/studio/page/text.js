// Numbers and names as people read them, and a short way to make elements.

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function span(seconds) {
  if (seconds < 50) return `${Math.max(5, Math.round(seconds / 5) * 5)} seconds`;
  const minutes = Math.max(1, Math.round(seconds / 60));
  return minutes === 1 ? "1 minute" : `${minutes} minutes`;
}

export function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(0)} MB`;
}

export function capital(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : text;
}

// "A:min7" as people write it.
export function chord(name) {
  const [root, rest = ""] = name.replace(/b/g, "♭").replace(/#/g, "♯").split(":");
  return root + rest.replace(/^maj$/, "").replace(/^min/, "m").replace(/^maj7/, "maj7");
}

export function key(name) {
  const [tonic, mode] = name.split(":");
  const written = tonic.replace(/b$/, "♭").replace(/#$/, "♯");
  return `${written} ${mode === "min" ? "minor" : "major"}`;
}

export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...inside);
  return element;
}
