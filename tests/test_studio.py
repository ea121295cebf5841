"""A visitor of the studio makes a song, takes a section again, and has it all to keep."""

import io
import json
import zipfile
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import soundfile

pytest.importorskip("uvicorn", reason="the studio's packages are not installed")

from hierarchy.material.audio import write_waveform
from hierarchy.micro.grains import GrainModel
from hierarchy.studio.lanes import OVER
from structure.plan import SongPlan
from tests.small_studio import SHORT, Guest, open_studio
from tests.small_worlds import RATE, tiny_model


@pytest.fixture(scope="module")
def model(small_song, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model(small_song).write(folder)
    return folder


@pytest.fixture(scope="module")
def house(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("studio")
    with open_studio(model, place) as (process, url):
        yield process, url
        assert list(place.iterdir())
    assert process.returncode == 0
    assert not list(place.iterdir()), "a studio that closes removes what it kept"


@pytest.fixture(scope="module")
def guest(house):
    with Guest(house[1]) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def story(guest):
    """All views while a song is made."""
    number = guest.ask("POST", "/songs", SHORT).json()["song"]
    told = []

    def is_over(view):
        told.append(next(one for one in view["songs"] if one["song"] == number))
        return told[-1]["job"]["state"] in OVER

    guest.wait(is_over)
    return told


@pytest.fixture(scope="module")
def song(story):
    assert story[-1]["job"]["state"] == "done", story[-1]["job"]
    return story[-1]


def sound(data: bytes):
    waveform, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert rate == RATE
    return waveform.T


def mix_of(guest, song) -> np.ndarray:
    """The stems added up: a version before mastering."""
    with zipfile.ZipFile(io.BytesIO(guest.get(path_to(song, "stems.zip")))) as files:
        layers = [name for name in files.namelist() if "layers/" in name]
        assert len(layers) == 3
        return sum(sound(files.read(name)) for name in layers)


def plan_of(guest, song) -> SongPlan:
    return SongPlan.from_json(guest.get(path_to(song, "plan.json")).decode())


def path_to(song, what):
    return f"/songs/{song['song']}/{song['version']}/{what}"


def test_the_form_is_there_before_anything_is_composed(story):
    labels = [row["label"] for row in SHORT["sections"]]
    assert [one["label"] for one in story[0]["sketch"]] == labels
    assert [one["bars"] for one in story[0]["sketch"]] == [2, 4, 4, 4, 4]


def test_the_first_sections_can_be_heard_before_the_song_is_done(story, song, guest):
    early = [one for one in story if one["first"] and not one["version"]]
    assert early
    first = sound(guest.get(f"/songs/{song['song']}/first.wav"))
    assert first.shape[1] == pytest.approx(early[0]["first"]["seconds"] * RATE, abs=2)
    assert 8 <= early[0]["first"]["seconds"] < song["seconds"]
    whole = sound(guest.get(path_to(song, "play.wav")))[:, : first.shape[1]]
    # The same grains, so the same sound up to the limiter and a guess of the level.
    like = np.vdot(whole, first) / np.linalg.norm(whole) / np.linalg.norm(first)
    assert like > 0.9
    assert 20 * np.log10(whole.std() / first.std()) == pytest.approx(0, abs=4)


def test_a_song_is_what_was_asked_for(song, guest):
    plan = plan_of(guest, song)
    assert (plan.key, plan.tempo, plan.seed) == ("A:min", 160, 5)
    assert [s.label for s in plan.sections] == [r["label"] for r in SHORT["sections"]]
    assert [s.bars for s in plan.sections] == [2, 4, 4, 4, 4]
    assert [one["name"] for one in song["sections"]] == list(plan.names())
    waveform = sound(guest.get(path_to(song, "song.wav")))
    assert waveform.shape[1] / RATE == pytest.approx(plan.seconds, abs=3)
    peaks = json.loads(guest.get(path_to(song, "peaks.json")))
    assert max(peaks["peak"]) == pytest.approx(255 * np.abs(waveform).max(), abs=1)
    assert len(peaks["peak"]) == len(peaks["rms"]) > 1000


def test_another_take_changes_one_section_and_undo_brings_the_first_one_back(
    song, guest
):
    number = song["song"]
    before = plan_of(guest, song), sound(guest.get(path_to(song, "song.wav")))
    answer = guest.ask("POST", f"/songs/{number}/again", {"section": "chorus 1"})
    assert answer.status_code == 200, answer.text
    again = guest.wait_for("song", number)
    assert again["changed"] == "chorus 1" and again["can_undo"]
    after = plan_of(guest, again), sound(guest.get(path_to(again, "song.wav")))
    assert [s.take for s in after[0].sections] == [0, 0, 1, 0, 0]

    # All that lies before the section is the same to the bit, before mastering.
    old, new = (mix_of(guest, one) for one in (song, again))
    begin, end = (round(t * RATE) for t in before[0].starts()[2:4])
    reach = RATE // 10  # the fades at its two borders
    equal = (old == new).all(axis=0)
    assert equal[: begin - reach].all() and equal[end + reach :].all()
    assert equal[begin + reach : end - reach].mean() < 0.01
    # And after mastering, away from it, as good as the same.
    assert before[1].shape == after[1].shape
    np.testing.assert_allclose(
        before[1][:, : RATE * 6], after[1][:, : RATE * 6], atol=2e-6
    )

    undone = guest.ask("POST", f"/songs/{number}/undo").json()["version"]
    assert undone == song["version"]
    assert (sound(guest.get(path_to(song, "song.wav"))) == before[1]).all()
    assert guest.ask("POST", f"/songs/{number}/undo").status_code == 400
    assert (
        guest.ask("POST", f"/songs/{number}/redo").json()["version"] == again["version"]
    )
    assert guest.ask("POST", f"/songs/{number}/redo").status_code == 400
    guest.ask("POST", f"/songs/{number}/undo")


def test_the_same_seed_gives_the_same_song_again(song, guest):
    twin = guest.make()
    assert twin["song"] != song["song"]
    assert guest.get(path_to(twin, "song.wav")) == guest.get(path_to(song, "song.wav"))


def test_mood_makes_a_song_darker_or_brighter_and_louder(song, guest):
    calm, lively = (plan_of(guest, guest.make(mood=mood)) for mood in (0, 1))
    for low, high in zip(calm.sections, lively.sections, strict=True):
        assert low.energy < high.energy and low.brightness < high.brightness
        assert low.chords == high.chords
    assert calm.loudness < plan_of(guest, song).loudness < lively.loudness


def test_nobody_sees_what_is_another_visitors(song, house):
    with Guest(house[1]) as stranger:
        assert stranger.wait(lambda view: True)["songs"] == []
        asked = [("GET", path_to(song, what)) for what in ("play.wav", "stems.zip")]
        asked += [
            ("POST", f"/songs/{song['song']}/{what}") for what in ("again", "undo")
        ]
        asked += [("DELETE", f"/songs/{song['song']}")]
        for method, path in asked:
            assert stranger.ask(method, path).status_code == 404
    nobody = httpx.get(house[1] + path_to(song, "plan.json"))
    assert nobody.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/page/..%2fserver.py",
        "/page/%2e%2e/server.py",
        "/page/../../../pyproject.toml",
        "/page//etc/passwd",
        "/songs/1/1/..%2f..%2f..%2flock",
        "/songs/1/1/grains",
        "/songs/1/1/%2fetc%2fpasswd",
        "/songs/..%2f1/1/plan.json",
        "/albums/1/model.zip",
    ],
)
def test_no_path_of_a_request_is_opened(path, guest, song):
    assert guest.ask("GET", path).status_code == 404


@pytest.mark.parametrize(
    "wish, message",
    [
        ({"tempo": 1000}, "tempo"),
        ({"form": "../../etc"}, "form"),
        ({"sections": []}, "sections"),
        ({"sections": [{"label": "polka"}]}, "label"),
        ({"style": 9}, "style"),
        ({"minutes": 600, "sections": None, "form": "aaba"}, "minutes"),
        ({"key": "H:maj"}, "H"),
        ({"folder": "/tmp"}, "folder"),
        ({"title": "x" * 100}, "title"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_made_is_refused_with_a_sentence(wish, message, guest):
    answer = guest.ask("POST", "/songs", SHORT | wish)
    if answer.status_code == 200:  # what only the composer can know
        job = guest.wait_for("song", answer.json()["song"])["job"]
        assert job["state"] == "refused"
        said = job["message"]
    else:
        assert answer.status_code == 400
        said = answer.json()["error"]
    assert message in said and "Traceback" not in said


def test_a_request_that_is_far_too_long_is_refused(guest):
    answer = guest.ask("POST", "/songs", SHORT | {"title": "x" * 100_000})
    assert answer.status_code == 400 and "bytes" in answer.json()["error"]


def test_a_song_that_is_not_wanted_any_more_is_given_up(guest):
    long = {"sections": None, "form": "verse-chorus", "minutes": 15}
    number = guest.ask("POST", "/songs", SHORT | long).json()["song"]
    waiting = guest.ask("POST", "/songs", SHORT).json()["song"]

    def view(kind):
        return {one["song"]: one for one in kind["songs"]}

    seen = guest.wait(lambda v: view(v)[number]["job"]["stage"] == "Making the song")
    assert view(seen)[waiting]["job"]["state"] == "waiting"
    assert view(seen)[waiting]["job"]["ahead"] == 1
    for one in (waiting, number):
        job = view(seen)[one]["job"]["job"]
        assert guest.ask("POST", f"/jobs/{job}/stop").status_code == 200
    for one in (waiting, number):
        assert guest.wait_for("song", one)["job"]["state"] == "stopped"
        assert guest.ask("DELETE", f"/songs/{one}").status_code == 200
    # And the worker is there for the next song.
    assert guest.make()["version"] == 1


def upload(guest, album: int, name: str, content: bytes):
    return guest.http.post(
        f"/albums/{album}/files", content=content, headers={"X-File-Name": quote(name)}
    )


def test_a_visitors_own_music_becomes_a_style(guest, small_song, tmp_path):
    recording = tmp_path / "Meine Lieder.wav"
    write_waveform(recording, small_song.waveform, RATE)
    data = recording.read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("album/1.wav", data)
        out.writestr("album/notes.txt", "thanks")
    album = guest.ask("POST", "/albums").json()["album"]
    for name, content, code in (
        ("Süß & klein.wav", data, 200),
        ("album.zip", archive.getvalue(), 200),
        ("song.exe", data, 400),
        ("fake.flac", data, 400),
        ("../../up.wav", data, 200),
        ("", data, 400),
    ):
        answer = upload(guest, album, name, content)
        assert answer.status_code == code, (name, answer.text)
    assert guest.ask("POST", f"/albums/{album}/inspect").status_code == 200
    found = guest.wait_for("album", album)["found"]
    assert [file["name"] for file in found["kept"]] == [
        "Süß & klein.wav",
        "1.wav",
        "up.wav",
    ]
    # It is said how long it takes before it is begun.
    assert found["seconds"] == pytest.approx(3 * 32, abs=1)
    assert found["seconds_before"] > 1

    wish = {"name": "Küche", "minutes": 0.03}
    assert guest.ask("POST", f"/albums/{album}/learn", wish).status_code == 200
    learned = guest.wait_for("album", album)
    assert learned["job"]["state"] == "done", learned["job"]
    styles = guest.wait(lambda view: True)["styles"]
    assert styles[-1] == {"style": len(styles) - 1, "name": "Küche", "album": album}
    song = guest.make(style=len(styles) - 1)
    assert song["style"] == "Küche" and plan_of(guest, song).style == "own"

    # And it can be kept.
    with zipfile.ZipFile(io.BytesIO(guest.get(f"/albums/{album}/model.zip"))) as files:
        files.extractall(tmp_path / "kept")
    assert GrainModel.read(tmp_path / "kept").styles == ("own",)


def test_an_album_that_is_not_wanted_any_more_is_given_up(guest, small_song, tmp_path):
    recording = tmp_path / "a.wav"
    write_waveform(recording, small_song.waveform, RATE)
    album = guest.ask("POST", "/albums").json()["album"]
    assert guest.ask("POST", f"/albums/{album}/inspect").status_code == 400
    assert upload(guest, album, "a.wav", recording.read_bytes()).status_code == 200
    assert guest.ask("POST", f"/albums/{album}/inspect").status_code == 200
    assert len(guest.wait_for("album", album)["found"]["kept"]) == 1
    wish = {"name": "long", "minutes": 100}
    guest.ask("POST", f"/albums/{album}/learn", wish)

    def job(view):
        return next(a for a in view["albums"] if a["album"] == album)["job"]

    seen = guest.wait(lambda view: job(view)["stage"] != "")
    stopped = guest.ask("POST", f"/jobs/{job(seen)['job']}/stop")
    assert stopped.status_code == 200
    assert guest.wait_for("album", album)["job"]["state"] == "stopped"
    assert guest.ask("DELETE", f"/albums/{album}").status_code == 200
    assert guest.wait(lambda view: True)["albums"][-1]["album"] != album


def test_an_album_larger_than_may_be_sent_is_refused(model, tmp_path):
    house = open_studio(model, tmp_path / "small", "--most-upload", "1")
    with house as (_, url), Guest(url) as guest:
        album = guest.ask("POST", "/albums").json()["album"]
        half = b"RIFF" + bytes(700_000)
        assert upload(guest, album, "1.wav", half).status_code == 200
        answer = upload(guest, album, "2.wav", half)
        assert answer.status_code == 400
        assert "more than may be sent" in answer.json()["error"]
        # Nor in pieces that do not say how many they are.
        pieces = iter([half[:100_000]] * 7)
        assert upload(guest, album, "3.wav", pieces).status_code == 400
        kept = [p.name for p in tmp_path.rglob("uploads/*")]
        assert kept == ["1.wav"]
