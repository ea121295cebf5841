"""The studio in a real browser: one press to a song, another take, stems to keep.

Needs Chromium and its driver (Debian: chromium, chromium-driver).
"""

import io
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("uvicorn", reason="the studio's packages are not installed")
selenium = pytest.importorskip("selenium", reason="Selenium is not installed")

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from structure.plan import SongPlan
from tests.small_studio import open_studio
from tests.small_worlds import RATE, tiny_model

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium with chromedriver on this machine"
)

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--mute-audio", "--disable-dev-shm-usage"),
)
PATIENCE = 240.0


class Page:
    """What a visitor sees and does."""

    def __init__(self, driver, downloads: Path):
        self.driver, self.downloads = driver, downloads

    def one(self, selector: str):
        """The element that a selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str):
        """All elements that it finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """What they say, all at one moment."""
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)",
            selector,
        )

    def press(self, selector: str) -> None:
        """Click, where a person could."""
        element = self.one(selector)
        self.driver.execute_script(
            "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})",
            element,
        )
        element.click()

    def until(self, true, *, seconds: float = PATIENCE):
        """Wait until `true()` is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := true():
                return found
            time.sleep(0.05)
        raise AssertionError(self.one("main").text)

    def download(self, name: str) -> bytes:
        """Follow a link of the song, and read what comes."""
        before = set(self.downloads.iterdir())
        self.press(f".song .downloads a[data-file='{name}']")

        def arrived():
            # While it comes, it has other names; and an empty file keeps the place.
            new = set(self.downloads.iterdir()) - before
            ready = [one for one in new if one.suffix == Path(name).suffix]
            return len(new) == 1 and [one for one in ready if one.stat().st_size]

        return self.until(arrived).pop().read_bytes()

    def is_ready(self) -> bool:
        """Whether the song is made and nothing is being made."""
        return not self.one(".song .job").is_displayed()

    def complaints(self) -> list:
        """What the browser's console holds against the page."""
        return [
            line for line in self.driver.get_log("browser") if line["level"] != "DEBUG"
        ]


@pytest.fixture(scope="module")
def model(small_song, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model(small_song).write(folder)
    return folder


@pytest.fixture(scope="module")
def page(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("browser")
    downloads = place / "downloads"
    downloads.mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={place / 'profile'}"):
        options.add_argument(flag)
    options.add_experimental_option(
        "prefs", {"download.default_directory": str(downloads)}
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with open_studio(model, place / "studio") as (_, url):
        driver = webdriver.Chrome(options, Service(DRIVER))
        driver.set_window_size(1200, 900)
        try:
            driver.get(url)
            yield Page(driver, downloads)
        finally:
            driver.quit()


@pytest.fixture(scope="module")
def song(page):
    """A short song, made by a person who has changed the list of sections."""
    page.until(lambda: page.all("#styles input"))
    page.press("#sections summary")
    page.until(lambda: len(page.all("#sections li")) == 6)
    page.press("#sections li:nth-child(6) button[title=Remove]")
    for place, bars in enumerate((2, 4, 4, 4, 4), 1):
        field = page.one(f"#sections li:nth-child({place}) input")
        field.clear()
        field.send_keys(str(bars), Keys.TAB)
    assert Select(page.one("#form")).first_selected_option.text.startswith("My own")
    page.press("#more summary")
    page.one("#tempo").send_keys("160")
    page.one("#seed").send_keys("5")
    page.press("#wish > button.primary")
    page.until(lambda: page.all(".song"), seconds=5)
    names = page.texts(".song .names button")
    labels = ["Intro", "Verse", "Chorus", "Verse", "Chorus"]
    assert [name.split()[0] for name in names] == labels
    # The beginning is heard while the rest is made, without another press.
    page.until(lambda: page.one(".song .play").text == "Pause")
    page.until(page.is_ready)
    assert page.one(".song .error").text == ""
    return page.driver.current_url


def sound(data: bytes) -> np.ndarray:
    waveform, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert rate == RATE
    return waveform.T


def mix_of(archive: bytes) -> np.ndarray:
    """The stems added up: what the song is before mastering."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        assert files.testzip() is None
        layers = [n for n in files.namelist() if "layers/" in n]
        assert len(layers) == 3
        return sum(sound(files.read(name)) for name in layers)


def test_a_visitor_makes_a_song_redoes_a_chorus_and_downloads_the_stems(page, song):
    before = page.download("stems.zip")
    plan = SongPlan.from_json(page.download("plan.json").decode())
    assert (plan.tempo, plan.seed, [s.bars for s in plan.sections]) == (
        160,
        5,
        [2, 4, 4, 4, 4],
    )
    page.press(".song details.sections summary")
    page.press("button[aria-label='Make chorus 2 again']")
    page.until(lambda: not page.is_ready(), seconds=10)
    page.until(page.is_ready)
    after = page.download("stems.zip")
    redone = SongPlan.from_json(page.download("plan.json").decode())
    assert [s.take for s in redone.sections] == [0, 0, 0, 0, 1]

    old, new = mix_of(before), mix_of(after)
    assert old.shape == new.shape
    begin = round(plan.starts()[4] * RATE) - RATE // 10  # with the fade before it
    assert (old[:, :begin] == new[:, :begin]).all()
    changed = (old != new).any(axis=0)[begin + RATE // 5 : -2 * RATE]
    assert changed.mean() > 0.99

    page.press(".song .undo")
    page.until(lambda: page.one(".song .redo").is_enabled(), seconds=10)
    undone = SongPlan.from_json(page.download("plan.json").decode())
    assert undone == plan


def test_a_section_is_played_from_where_it_is_pressed(page, song):
    page.press("button[aria-label^='Play chorus 1']")
    starts = 6 * 4 * 60 / 160

    def place():
        return float(page.one(".song .seek").get_attribute("value"))

    page.until(lambda: starts - 0.1 <= place() < starts + 5, seconds=20)
    assert "chorus 1" in page.one(".song .seek").get_attribute("aria-valuetext")
    page.press(".song .play")
    page.until(lambda: page.one(".song .play").text == "Play", seconds=5)
    # And with the keyboard: the slider over the waveform.
    page.one(".song .seek").send_keys(Keys.HOME)
    page.until(lambda: place() == 0, seconds=5)


def test_sections_can_be_dragged_and_moved_with_buttons(page, song):
    def labels():
        return page.texts("#sections li .label")

    assert labels() == ["Intro", "Verse", "Chorus", "Verse", "Chorus"]
    handle = page.one("#sections li:nth-child(1) .handle")
    page.driver.execute_script("arguments[0].scrollIntoView({block:'center'})", handle)
    row = page.one("#sections li:nth-child(1)").size["height"]
    webdriver.ActionChains(page.driver).click_and_hold(handle).move_by_offset(
        0, round(1.4 * row)
    ).move_by_offset(0, row // 4).release().perform()
    assert labels() == ["Verse", "Intro", "Chorus", "Verse", "Chorus"]
    page.press("#sections li:nth-child(2) button[title='Move up']")
    assert labels() == ["Intro", "Verse", "Chorus", "Verse", "Chorus"]
    # Focus stays with what was moved.
    focused = page.driver.switch_to.active_element.get_attribute("aria-label")
    assert "Intro" in focused or "intro" in focused


def test_all_can_be_reached_and_is_named_for_who_cannot_see_it(page, song):
    page.driver.execute_script("document.querySelector('.skip').focus()")
    reached = []
    for _ in range(120):
        webdriver.ActionChains(page.driver).send_keys(Keys.TAB).perform()
        here = page.driver.switch_to.active_element
        if here.tag_name == "body":
            break
        facts = (here.tag_name, here.get_attribute("id"), here.accessible_name)
        if facts in reached:
            break
        assert here.accessible_name, here.get_attribute("outerHTML")
        reached.append(facts)
    names = [name for _, _, name in reached]
    for wanted in ("Form", "Mood", "Make a song", "Play", "Redo", "Stems"):
        assert wanted in names, (wanted, names)
    assert names.index("Form") < names.index("Make a song") < names.index("Stems")


def test_the_page_fits_a_phone_and_the_browser_has_nothing_to_complain_of(page, song):
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    wide = page.driver.execute_script(
        "return document.documentElement.scrollWidth - innerWidth"
    )
    assert wide <= 0
    small = page.driver.execute_script(
        "return [...document.querySelectorAll('button, a.quiet, select, summary')]"
        ".filter(e => e.offsetParent && !e.closest('.names'))"
        ".map(e => [e.getBoundingClientRect(), e.outerHTML.slice(0, 80)])"
        ".filter(([box]) => box.height < 24 || box.width < 24).map(([, what]) => what)"
    )
    assert small == []
    assert page.complaints() == []
