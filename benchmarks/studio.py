"""What a visitor of the studio waits for, in a real browser.

    python benchmarks/studio.py [--model DIR] [--rounds 3] [--json OUT.json]

Needs Chromium and its driver. Each round starts `song-studio` anew and, as soon as it
listens, opens its page and presses once; it looks at what the page shows and at whether
its sound moves. The first round finds an empty cache of compiled programs, the others
what the first one left. A last visit finds a studio that has been open for a while.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--mute-audio", "--disable-dev-shm-usage"),
)

# The page tells by itself when each thing first was so: asking it all the time from
# outside would take from the studio what is measured.
WATCH = """
window.seen = {opened: performance.now()};
const note = (name) => { seen[name] ??= performance.now(); };
const heard = [];
const plain = window.Audio;
window.Audio = function (...args) {
  const audio = new plain(...args);
  audio.addEventListener('timeupdate', () => {
    if (!audio.paused && audio.currentTime > 0) note('first sound');
  });
  audio.addEventListener('playing', () => note('playing'));
  return audio;
};
setInterval(() => {
  if (document.querySelector('#styles input')) note('can be pressed');
  if (document.querySelector('.song .names button')) note('sketch of the form');
  if (/BPM/.test(document.querySelector('.song .facts')?.textContent)) note('composed');
  const job = document.querySelector('.song .job');
  if (job && job.hidden) note('whole song');
}, 20);
document.addEventListener('click', () => { seen.pressed = performance.now(); }, true);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, help="default: the one that ships")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=20.0, help="seconds, at last")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        for number in range(asked.rounds):
            name = "nothing compiled before" if number == 0 else f"round {number + 1}"
            with studio(asked.model, cache) as (url, began):
                found[name] = visit(url, began)
                if number == asked.rounds - 1 and asked.idle:
                    time.sleep(asked.idle)
                    found["a studio that is open"] = visit(url, None)
    later = [times for name, times in found.items() if name.startswith("round")]
    if later:
        found["compiled before, median"] = {
            key: statistics.median(times[key] for times in later) for key in later[0]
        }
    for name, times in found.items():
        print(name)
        for what, seconds in times.items():
            print(f"    {what:44s} {seconds:8.2f} s")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


@contextlib.contextmanager
def studio(model: Path | None, cache: Path):
    """Run song-studio; yields its address and when it was started."""
    code = "from hierarchy.commands.song_studio import main; main()"
    command = [sys.executable, "-c", code, "--no-browser", "--port", "0"]
    began = time.time()
    process = subprocess.Popen(
        [*command, *(["--model", str(model)] if model else [])],
        env=os.environ | {"MACROTIME_CACHE": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stderr.readline()
        yield re.search(r"http://\S+", line)[0], began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def visit(url: str, began: float | None) -> dict[str, float]:
    """Open the page, press, listen until the song is whole; seconds of each."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By

    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        try:
            script = {"source": WATCH}
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
            driver.get(url)
            while "can be pressed" not in (seen := look(driver)):
                time.sleep(0.05)
            driver.find_element(By.CSS_SELECTOR, "#wish > button.primary").click()
            while not {"first sound", "whole song"} <= set(seen := look(driver)):
                time.sleep(0.5)
            origin = driver.execute_script("return performance.timeOrigin") / 1000
        finally:
            driver.quit()
    out = {}
    if began is not None:
        out["start of the command to the page being asked for"] = origin - began
        out["start of the command to first sound"] = (
            origin + seen["first sound"] / 1000 - began
        )
    for name in ("can be pressed", "pressed", "first sound"):
        out[f"opening the page to {name}"] = seen[name] / 1000
    for name in ("sketch of the form", "composed", "first sound", "whole song"):
        out[f"press to {name}"] = (seen[name] - seen["pressed"]) / 1000
    return out


def look(driver) -> dict[str, float]:
    """When each thing first was so, in milliseconds of the page's clock."""
    return driver.execute_script("return window.seen")


if __name__ == "__main__":
    main()
