"""A studio with a small model, in a process of its own, for tests to visit."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from hierarchy.studio.lanes import OVER

SHORT = {
    "sections": [
        {"label": "intro", "bars": 2},
        {"label": "verse", "bars": 4},
        {"label": "chorus", "bars": 4},
        {"label": "verse", "bars": 4},
        {"label": "chorus", "bars": 4},
    ],
    "tempo": 160,
    "key": "A:min",
    "seed": 5,
    "title": "Rain & tea",
}
"""A wish that is soon fulfilled."""


@contextlib.contextmanager
def open_studio(model: Path, place: Path, *options: str):
    """Run song-studio with a model; yields its process and its address.

    Args:
        model: a folder.
        place: where it keeps its files.
        options: of the command.
    """
    code = "from hierarchy.commands.song_studio import main; main()"
    command = [sys.executable, "-c", code, "--no-browser", "--port", "0"]
    place.mkdir(exist_ok=True)
    root, log = str(Path(__file__).parent.parent), place.with_suffix(".log")
    with log.open("w") as said:
        process = subprocess.Popen(
            [*command, "--model", str(model), *options],
            env=os.environ | {"TMPDIR": str(place), "PYTHONPATH": root},
            stderr=said,
        )
    try:
        while not (found := re.search(r"http://\S+[0-9]", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield process, found[0]
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
            print(log.read_text())  # shown with a test that fails


class Guest:
    """A visitor without a browser."""

    def __init__(self, url: str):
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=120, headers={"Origin": url})
        for _ in range(100):  # the address is told before it is listened to
            with contextlib.suppress(httpx.ConnectError):
                self.http.get("/").raise_for_status()
                break
            time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def ask(self, method: str, path: str, body=None, **more) -> httpx.Response:
        """One request."""
        return self.http.request(method, path, json=body, **more)

    def get(self, path: str) -> bytes:
        """What a download gives."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.content

    def views(self):
        """All that the page would be told, one view after another."""
        with self.http.stream("GET", "/events") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def wait(self, done, *, seconds: float = 240):
        """The first view for which `done(view)` holds."""
        end = time.monotonic() + seconds
        with contextlib.closing(self.views()) as views:
            for view in views:
                if done(view):
                    return view
                assert time.monotonic() < end, view
        raise AssertionError("the studio closed")

    def wait_for(self, kind: str, number: int):
        """What the page is told of a song or an album when its job is over."""

        def one(view):
            return next(o for o in view[kind + "s"] if o[kind] == number)

        return one(self.wait(lambda view: one(view)["job"]["state"] in OVER))

    def make(self, **wish) -> dict:
        """A finished song."""
        answer = self.ask("POST", "/songs", SHORT | wish)
        assert answer.status_code == 200, answer.text
        return self.wait_for("song", answer.json()["song"])
