"""What the studio refuses: other sites, strangers' archives, workers that fail."""

import asyncio
import io
import struct
import sys
import wave
import zipfile

import httpx
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the studio's packages are not installed")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hierarchy.studio import albums, visitors
from hierarchy.studio.guards import Guard, HostNames
from hierarchy.studio.lanes import FAULT, Job, Lane
from structure.errors import RequestError

HOME = "http://127.0.0.1:7860"


def asked_through_the_guard(method: str, headers: dict) -> httpx.Response:
    """What comes of a request to the page."""
    page = Route("/", lambda request: PlainTextResponse("in"), methods=["GET", method])
    app = Guard(Starlette(routes=[page]), HostNames("127.0.0.1"))

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=HOME) as client:
            return await client.request(method, "/", headers=headers)

    return asyncio.run(ask())


OURS = {"origin": HOME, "sec-fetch-site": "same-origin"}


@pytest.mark.parametrize(
    "method, headers, code",
    [
        ("GET", {}, 200),
        ("GET", {"host": "localhost:1234"}, 200),
        ("GET", {"host": "[::1]:7860"}, 200),
        ("POST", OURS, 200),
        # A name that was rebound to this address.
        ("GET", {"host": "evil.example"}, 403),
        ("GET", {"host": "evil.example:7860"}, 403),
        ("POST", OURS | {"host": "evil.example"}, 403),
        ("GET", {"host": "127.0.0.1.evil.example"}, 403),
        ("GET", {"host": "127.0.0.1@evil.example"}, 403),
        # Another site, or another program on this machine.
        ("POST", {}, 403),
        ("DELETE", {"sec-fetch-site": "same-origin"}, 403),
        ("POST", {"origin": "https://evil.example"}, 403),
        ("POST", {"origin": "null"}, 403),
        ("POST", {"origin": "http://127.0.0.1:8888"}, 403),
        ("POST", OURS | {"sec-fetch-site": "cross-site"}, 403),
        ("POST", OURS | {"sec-fetch-site": "same-site"}, 403),
        ("GET", {"origin": "https://evil.example"}, 403),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        # A link to the page, on another page.
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
    ],
)
def test_only_a_page_of_ours_may_ask(method, headers, code):
    answer = asked_through_the_guard(method, headers)
    assert answer.status_code == code
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers


def test_in_a_network_addresses_will_do_and_names_have_to_be_known():
    names = HostNames("0.0.0.0", ["studio.local"])
    assert names.fit("192.168.0.7:7860") and names.fit("STUDIO.local:7860")
    assert not names.fit("evil.example") and not names.fit("studio.local.evil.example")


class Nobody:
    """Whom a job tells how far it is."""

    def stage(self, name):
        return lambda done, total: None

    def check(self):
        return None


def tone(seconds=12.0, rate=8000, channels=1) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        time = np.arange(round(seconds * rate)) / rate
        samples = (8000 * np.sin(2 * np.pi * 220 * time)).astype("<i2")
        file.writeframes(np.repeat(samples, channels).tobytes())
    return data.getvalue()


def zipped(files: dict[str, bytes], **how) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content, **how)
    return data.getvalue()


@pytest.fixture
def inspect(tmp_path, monkeypatch):
    """Looks at an album of files, by name."""
    # The limits would hold for all tests that come after this one.
    monkeypatch.setattr(albums, "_spend_little", lambda: None)

    def look(files: dict[str, bytes]):
        place = tmp_path / "all" / "album"
        (place / "uploads").mkdir(parents=True)
        stored = {}
        for number, (name, content) in enumerate(files.items(), 1):
            stored[f"{number}{albums.suffix_of(name)}"] = name
            (place / "uploads" / list(stored)[-1]).write_bytes(content)
        job = {"folder": str(place), "files": stored}
        found = albums.inspect_album(job, Nobody())
        assert len(list((place / "music").iterdir())) == len(found["kept"])
        # Nothing was put anywhere else.
        assert list((tmp_path / "all").iterdir()) == [place]
        assert {p.name for p in place.iterdir()} == {"uploads", "music"}
        return found

    return look


def test_an_album_may_be_files_and_archives_of_files(inspect):
    album = {
        "One.WAV": tone(5),
        "b.zip": zipped({"x/two.wav": tone(9), "cover.png": b""}),
    }
    found = inspect(album)
    assert [(f["name"], f["seconds"]) for f in found["kept"]] == [
        ("One.WAV", 5),
        ("two.wav", 9),
    ]
    assert found["refused"] == []
    assert found["seconds"] == 14 and found["seconds_before"] > 0


@pytest.mark.parametrize(
    "name",
    ["../out.wav", "/tmp/out.wav", "a/../../out.wav", "..\\out.wav", "C:\\out.wav"],
)
def test_an_archive_that_names_places_outside_of_itself_is_refused(inspect, name):
    found = inspect({"a.zip": zipped({"in.wav": tone(12), name: tone(12)})})
    assert found["kept"] == []
    assert "outside of itself" in found["refused"][0]["why"]


def test_an_archive_with_links_or_a_password_is_refused(inspect):
    link = zipfile.ZipInfo("link.wav")
    link.external_attr = 0o120777 << 16
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    locked = bytearray(zipped({"a.wav": tone(3)}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + place] |= 1
    broken = zipped({"a.wav": tone(3)})[:-40]
    found = inspect({"a.zip": data.getvalue(), "b.zip": bytes(locked), "c.zip": broken})
    links, password, rest = (file["why"] for file in found["refused"])
    assert "links" in links and "password" in password and "unpacked" in rest
    assert found["kept"] == []


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(inspect):
    # A thousand times its size; and one that lies about it.
    bomb = zipped({"a.wav": bytes(300 << 20)})
    assert len(bomb) < 1 << 20
    liar = bytearray(bomb)
    for place in (liar.index(b"PK\x03\x04") + 22, liar.index(b"PK\x01\x02") + 24):
        liar[place : place + 4] = struct.pack("<I", 1000)
    found = inspect({"bomb.zip": bomb, "liar.zip": bytes(liar)})
    assert found["kept"] == []
    assert "unpacks to more" in found["refused"][0]["why"]
    assert len(found["refused"]) == 2


def test_what_is_not_the_sound_that_it_says_is_refused_alone(inspect):
    album = {
        "fine.wav": tone(12),
        "page.wav": b"<html>" * 100,
        "headless.wav": b"RIFF" + bytes(50),
        "short.wav": tone(1),
        "wide.wav": tone(3, channels=12),
    }
    found = inspect(album)
    assert [file["name"] for file in found["kept"]] == ["fine.wav"]
    said = {file["name"]: file["why"] for file in found["refused"]}
    assert set(said) == {"page.wav", "headless.wav", "short.wav", "wide.wav"}
    assert "12 channels" in said["wide.wav"] and "two seconds" in said["short.wav"]
    assert not any("/" in why.replace("and/or", "") for why in said.values()), said


def test_a_recording_that_never_ends_is_given_up(inspect, monkeypatch):
    monkeypatch.setattr(albums, "LONGEST_FILE", 20.0)
    found = inspect({"long.wav": tone(60), "fine.wav": tone(12)})
    assert [file["name"] for file in found["kept"]] == ["fine.wav"]


def test_kinds_of_files_that_are_not_taken_are_refused_by_their_names():
    for name in ("song.exe", "song", "song.wav.html", ".wav/../x", "m3u.m3u"):
        with pytest.raises(RequestError, match="not taken"):
            albums.suffix_of(name)
    assert albums.suffix_of("a.b.Mp3") == ".mp3"


WORKER = """
import json, os, sys, time
def say(**what): print(json.dumps(what), flush=True)
number = None
for line in sys.stdin:
    job = json.loads(line)
    if "stop" in job:
        if job["stop"] != number: continue
        say(id=number, stopped=True)
        continue
    number, do = job["id"], job["do"]
    if do == "crash": os._exit(3)
    if do == "hang": time.sleep(60)
    if do == "fault": say(id=number, fault="Traceback: a secret path")
    if do == "babble": print("not json", flush=True)
    say(id=number, stage="Working", done=1, total=2)
    say(id=number, part={"half": True})
    say(id=number, end={"process": os.getpid(), "what": do})
"""


def in_lane(story, **how):
    """Run a story with a lane whose worker does as it is told."""

    async def whole():
        lane = Lane(command=(sys.executable, "-c", WORKER), **({"keep": True} | how))
        task = asyncio.create_task(lane.run())
        try:
            return await asyncio.wait_for(story(lane), 30)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(whole())


def test_jobs_are_done_one_after_another_by_one_process():
    async def story(lane):
        parts = []
        jobs = [
            lane.put(Job({"do": f"song {n}"}, on_part=parts.append)) for n in range(3)
        ]
        assert [lane.ahead(job) for job in jobs] == [0, 1, 2]
        results = [await job.outcome() for job in jobs]
        assert [r["what"] for r in results] == ["song 0", "song 1", "song 2"]
        assert len({r["process"] for r in results}) == 1
        assert parts == [{"half": True}] * 3
        assert [job.stage for job in jobs] == ["Working"] * 3

    in_lane(story)


@pytest.mark.parametrize("fate", ["crash", "fault", "babble"])
def test_a_worker_that_fails_costs_one_job_and_says_so_in_a_sentence(fate, caplog):
    async def story(lane):
        bad, good = lane.put(Job({"do": fate})), lane.put(Job({"do": "song"}))
        with pytest.raises(RequestError) as refused:
            await bad.outcome()
        assert str(refused.value) == FAULT and "Traceback" not in FAULT
        assert (await good.outcome())["what"] == "song"

    in_lane(story)
    assert caplog.records


def test_a_worker_that_is_silent_for_too_long_is_ended(caplog):
    async def story(lane):
        slow = lane.put(Job({"do": "hang"}, silence=0.3))
        after = lane.put(Job({"do": "song"}))
        with pytest.raises(RequestError, match="too long"):
            await slow.outcome()
        assert (await after.outcome())["what"] == "song"

    in_lane(story)


@pytest.mark.parametrize("keep", [True, False])
def test_a_job_can_be_given_up_while_it_waits_and_while_it_is_worked_on(
    keep, monkeypatch
):
    monkeypatch.setattr("hierarchy.studio.lanes.GRACE", 0.2)

    async def story(lane):
        stuck, waiting = lane.put(Job({"do": "hang"})), lane.put(Job({"do": "song"}))
        last = lane.put(Job({"do": "last"}))
        while stuck.state != "working":
            await asyncio.sleep(0.01)
        lane.stop(waiting)
        assert waiting.state == "stopped"
        lane.stop(stuck)
        await stuck.over.wait()
        assert stuck.state == "stopped"
        assert (await last.outcome())["what"] == "last"

    in_lane(story, keep=keep)


def test_folders_of_studios_that_were_killed_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "song-studio-killed"
    (left / "visitor-1").mkdir(parents=True)
    (left / "lock").touch()
    mine = tmp_path / "song-studio-of-mine"
    mine.mkdir()
    here = visitors.Visitors([])
    assert not left.exists() and mine.exists()
    # Another one that starts leaves this one alone.
    there = visitors.Visitors([])
    assert here.root.exists() and there.root.exists()
    assert here.root.stat().st_mode & 0o77 == 0
    for one in (here, there):
        one.close()
        assert not one.root.exists()


def test_visitors_who_have_gone_are_forgotten_with_all_that_was_theirs(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    house = visitors.Visitors([])
    (gone, absent), (secret, present) = house.welcome(), house.welcome()
    assert len(secret) >= 40 and secret != gone
    absent.seen -= visitors.FORGOTTEN_AFTER + 1
    present.seen -= visitors.FORGOTTEN_AFTER + 1
    with present.listening():
        house.forget()
    assert house.find(gone) is None and not absent.folder.exists()
    assert house.find(secret) is present and present.folder.exists()
    assert house.find(None) is None and house.find("") is None
    house.close()
