// Requests to the studio. Each returns what it answered, or throws its sentence.

export async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new Error("The studio does not answer. Is it still running?");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(sentence(found.error));
  return found;
}

// One file as the body of a request; `tell` is called with the bytes sent so far.
export function send(path, file, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
    request.upload.onprogress = (event) => tell(event.loaded);
    request.onerror = () => reject(new Error(`${file.name} could not be sent.`));
    request.onload = () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { /* no JSON: no words */ }
      if (request.status === 200) resolve(found);
      else reject(new Error(sentence(found.error)));
    };
    request.send(file);
  });
}

// All that is ours, now and whenever it changes.
export function listen(show, lost) {
  const events = new EventSource("/events");
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => lost(events.readyState === EventSource.CLOSED);
}

function sentence(text) {
  if (!text) return "That did not work; please try again.";
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
