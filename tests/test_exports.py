"""A song as material: what is written is read back by other programs' readers."""

import json
import re

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest
import soundfile

from hierarchy.export import KINDS, export_song
from hierarchy.export.arrangement import draw_arrangement
from hierarchy.export.markers import mark_sections, write_cue_sheet
from hierarchy.export.midi import write_midi
from hierarchy.export.reaper import quarters_per_minute
from hierarchy.export.riff import add_chunks, place_chunk
from hierarchy.macro.layers import LAYERS
from hierarchy.material.audio import read_tags, write_waveform
from structure.errors import RequestError
from structure.plan import SongPlan
from tests.small_worlds import RATE, rendered, small_plan

QUIET = 10 ** (-90 / 20)


@pytest.fixture(scope="module")
def song(small_song):
    return rendered(small_song, small_plan("ABABC", tempo=200))


@pytest.fixture(scope="module")
def exported(song, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    tags = {"artist": "Me", "album": "Ours", "date": "2026"}
    files = export_song(song, folder, tags=tags)
    return folder, files


def sound(path):
    waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == RATE
    return waveform.T


def test_all_that_was_written_is_named_and_there(exported):
    folder, files = exported
    found = {path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == found and len(files) == len(found)
    tops = {path.relative_to(folder).parts[0] for path in found}
    singles = {"song.wav", "song.cue", "song.mid", "song.jams"}
    assert tops == singles | {"stems", "session", "grains"}


def test_an_export_that_there_is_not_is_refused(song, tmp_path):
    with pytest.raises(RequestError, match="no export mp3; there are stems"):
        export_song(song, tmp_path / "x", kinds=["mp3"])
    assert not list(tmp_path.iterdir())
    assert set(KINDS) == {"stems", "session", "markers", "midi", "grains", "jams"}


def test_stems_by_layer_and_by_section_add_up_to_the_mix(song, exported):
    stems = exported[0] / "stems"
    about = json.loads((stems / "stems.json").read_text())
    mix = sound(stems / about["mix"])
    np.testing.assert_array_equal(mix, song.mix)
    layers = [sound(stems / one["file"]) for one in about["layers"]]
    assert [one["layer"] for one in about["layers"]] == list(LAYERS)
    assert np.abs(sum(layers) - mix).max() < QUIET

    whole = np.zeros_like(mix)
    for one in about["sections"]:
        stem = sound(stems / one["file"])
        assert stem.shape[1] == one["samples"]
        whole[:, one["start"] : one["start"] + one["samples"]] += stem
    assert [one["section"] for one in about["sections"]] == list(song.plan.names())
    assert np.abs(whole - mix).max() < QUIET


def test_a_section_stem_says_on_which_sample_of_the_song_it_begins(exported):
    wavinfo = pytest.importorskip("wavinfo")
    stems = exported[0] / "stems"
    for one in json.loads((stems / "stems.json").read_text())["sections"]:
        told = wavinfo.WavInfoReader(str(stems / one["file"])).bext
        assert told.time_reference == one["start"]
        assert told.description == one["section"]


def test_sections_are_markers_in_the_song(song, exported):
    wavinfo = pytest.importorskip("wavinfo")
    path = exported[0] / "song.wav"
    assert sound(path).shape == song.waveform.shape
    cues = wavinfo.WavInfoReader(str(path)).cues
    starts = [round(start * RATE) for start in song.section_starts]
    assert [cue.position for cue in cues.cues] == starts[:-1]
    names = [cues.label_and_note(cue.name)[0] for cue in cues.cues]
    assert names == list(song.plan.names())
    lengths = [cues.range(cue.name) for cue in cues.cues]
    assert lengths == list(np.diff(starts))
    tags = read_tags(path)
    assert (tags["artist"], tags["title"], tags["software"][:9]) == (
        "Me",
        "Untitled",
        "macrotime",
    )


def test_markers_leave_the_sound_and_its_tags_as_they_were(tmp_path):
    path, plan = tmp_path / "song.wav", small_plan("ABC")
    noise = np.random.default_rng(0).normal(size=[1, 4_001]).astype(np.float32)
    write_waveform(path, 0.1 * noise, RATE, subtype="PCM_24", tags={"title": "Odd"})
    before = path.read_bytes()
    mark_sections(path, plan, RATE)
    after = path.read_bytes()
    assert after[8 : len(before)] == before[8:]
    assert int.from_bytes(after[4:8], "little") == len(after) - 8
    np.testing.assert_allclose(sound(path), 0.1 * noise, atol=2**-23)
    assert read_tags(path)["title"] == "Odd"
    with pytest.raises(RequestError, match="is no WAV file"):
        flac = tmp_path / "song.flac"
        write_waveform(flac, 0.1 * noise, RATE)
        mark_sections(flac, plan, RATE)


def test_markers_fit_into_files_with_long_headers_too(tmp_path):
    path = tmp_path / "song.wav"
    tone = np.zeros([100, 2], np.float32)
    soundfile.write(path, tone, RATE, format="RF64", subtype="PCM_16")
    add_chunks(path, [place_chunk(77)])
    data = path.read_bytes()
    assert data[:4] == b"RF64" and data[12:16] == b"ds64"
    assert int.from_bytes(data[20:28], "little") == len(data) - 8
    assert sound(path).shape == (2, 100)


def test_a_cue_sheet_has_a_track_for_each_section(song, exported, tmp_path):
    text = (exported[0] / "song.cue").read_text()
    assert 'FILE "song.wav" WAVE' in text and 'PERFORMER "Me"' in text
    titles = re.findall(r'^    TITLE "(.*)"$', text, re.MULTILINE)
    assert titles == list(song.plan.names())
    times = re.findall(r"INDEX 01 (\d+):(\d\d):(\d\d)", text)
    seconds = [60 * int(m) + int(s) + int(f) / 75 for m, s, f in times]
    assert seconds == pytest.approx(song.section_starts[:-1], abs=0.5 / 75)
    assert max(int(frames) for *_, frames in times) < 75
    # A title in quotation marks, and a sound that lies elsewhere.
    plan = small_plan("A", title='The "Best"')
    write_cue_sheet(tmp_path / "deep" / "x.cue", plan, tmp_path / "songs" / "x.flac")
    text = (tmp_path / "deep" / "x.cue").read_text()
    assert "TITLE \"The 'Best'\"" in text and '"../songs/x.flac"' in text


def read_session(folder):
    rpp = pytest.importorskip("rpp")
    return rpp.loads((folder / "session" / "song.rpp").read_text())


def field(element, name):
    return next(child[1:] for child in element if child[0] == name)


def test_a_session_has_sections_as_regions_and_grains_as_items(song, exported):
    project = read_session(exported[0])
    assert float(field(project, "TEMPO")[0]) == pytest.approx(200)
    marks = [child[1:] for child in project if child[0] == "MARKER"]
    regions = [
        (begin[2], float(begin[1]), float(end[1]))
        for begin, end in zip(marks[::2], marks[1::2], strict=True)
    ]
    assert [name for name, *_ in regions] == list(song.plan.names())
    assert [begin for _, begin, _ in regions] == pytest.approx(song.section_starts[:-1])
    assert [end for *_, end in regions] == pytest.approx(song.section_starts[1:])
    tracks = project.findall("TRACK")
    assert [field(t, "NAME")[0] for t in tracks] == [*LAYERS, "finished song"]
    assert field(tracks[-1], "MUTESOLO")[0] == "1"
    for track in tracks[:-1]:
        items = track.findall("ITEM")
        assert len(items) == len(song.placements)
        for item in items:
            source = field(item.find("SOURCE"), "FILE")[0]
            assert (exported[0] / "session" / source).is_file()
    file = field(tracks[-1].find("ITEM").find("SOURCE"), "FILE")[0]
    assert (exported[0] / "session" / file).resolve() == exported[0] / "song.wav"


def play(track, folder, length):
    """What Reaper would play of a track: items, their fades and the volume envelope."""
    out = np.zeros([2, length], np.float32)
    for item in track.findall("ITEM"):
        waveform = sound(folder / field(item.find("SOURCE"), "FILE")[0])
        first = round(float(field(item, "POSITION")[0]) * RATE)
        samples = round(float(field(item, "LENGTH")[0]) * RATE)
        skip = round(float(field(item, "SOFFS")[0]) * RATE)
        part = waveform[:, skip : skip + samples].copy()
        for name, place in (
            ("FADEIN", slice(None)),
            ("FADEOUT", slice(None, None, -1)),
        ):
            shape, seconds, *_ = field(item, name)
            count = round(float(seconds) * RATE)
            rising = (np.arange(count) + 0.5) / max(count, 1)
            rising = rising if shape == "0" else np.sin(rising * np.pi / 2)
            part[:, place][:, :count] *= rising
        volume, pan, *_ = (float(x) for x in field(item, "VOLPAN"))
        angle = (pan + 1) * np.pi / 4
        sides = 2**0.5 * volume * np.array([[np.cos(angle)], [np.sin(angle)]])
        out[:, first : first + samples] += (part * sides).astype(np.float32)
    points = [child[1:] for child in track.find("VOLENV2") if child[0] == "PT"]
    times, gains = (np.array([float(point[n]) for point in points]) for n in (0, 1))
    assert (np.diff(times) > 0).all()
    gain = np.interp(np.arange(length) / RATE, times, gains)
    return out * gain.astype(np.float32)


def test_a_session_sounds_like_the_mix(song, exported):
    project = read_session(exported[0])
    folder = exported[0] / "session"
    tracks = project.findall("TRACK")[:-1]
    played = sum(play(track, folder, song.score.length) for track in tracks)
    residual = np.sqrt(np.mean((played - song.mix) ** 2) / np.mean(song.mix**2))
    assert 20 * np.log10(residual) < -25


@pytest.mark.parametrize(
    "meter, quarters",
    [("4/4", 90), ("3/4", 90), ("6/8", 135), ("2/4", 90), ("9/8", 135)],
)
def test_tempo_is_in_quarters_where_programs_count_them(meter, quarters):
    plan = small_plan("A", meter=meter, tempo=90)
    assert quarters_per_minute(plan) == pytest.approx(quarters)


def melodious(meter="4/4"):
    melody = [(0, 1, 72), (1, 0.5, 74), (2, 2, 76)]
    plan = small_plan("ABAB", meter=meter, tempo=84, key="A:min").model_dump()
    plan["sections"][1]["melody"] = melody if meter == "4/4" else melody[:2]
    return SongPlan.model_validate(plan)


def test_a_plan_in_midi_is_read_back_with_its_tempo_sections_chords_and_melody(
    tmp_path,
):
    pytest.importorskip("mido", reason="needs the extra midi")
    pretty_midi = pytest.importorskip("pretty_midi")
    plan, path = melodious(), tmp_path / "song.mid"
    write_midi(path, plan)
    heard = pretty_midi.PrettyMIDI(str(path))
    _, tempi = heard.get_tempo_changes()
    assert tempi == pytest.approx([84], rel=1e-5)
    (signature,) = heard.time_signature_changes
    assert (signature.numerator, signature.denominator) == (4, 4)
    (key,) = heard.key_signature_changes
    assert pretty_midi.key_number_to_key_name(key.key_number) == "A minor"
    assert heard.get_downbeats()[: plan.bars] == pytest.approx(
        np.arange(plan.bars) * 4 * plan.beat_seconds, abs=1e-3
    )
    chords, bass, melody = heard.instruments
    assert [chords.name, bass.name, melody.name] == ["chords", "bass", "melody"]
    first = {note.pitch % 12 for note in chords.notes if note.start < 0.01}
    assert first == {9, 0, 4}
    assert bass.notes[0].pitch % 12 == 9
    assert len(bass.notes) == 4 + 5 + 4 + 5  # one bar of the chorus has two chords
    start = plan.starts()[1]
    beats = [(note.start - start) / plan.beat_seconds for note in melody.notes]
    assert beats == pytest.approx([0, 1, 2], abs=1e-3)
    assert [note.pitch for note in melody.notes] == [72, 74, 76]
    assert heard.get_end_time() == pytest.approx(plan.seconds, abs=0.01)


def test_sections_are_markers_in_midi(tmp_path):
    mido = pytest.importorskip("mido", reason="needs the extra midi")
    plan, path = melodious("6/8"), tmp_path / "song.mid"
    write_midi(path, plan)
    file = mido.MidiFile(path)
    now, marks = 0, []
    for message in file.tracks[0]:
        now += message.time
        if message.type == "marker":
            marks.append((message.text, now))
        if message.type == "set_tempo":
            assert mido.tempo2bpm(message.tempo) == pytest.approx(126, rel=1e-5)
    assert [name for name, _ in marks] == list(plan.names())
    bar = 3 * file.ticks_per_beat  # of 6/8, in quarters
    assert [tick for _, tick in marks] == [0, 4 * bar, 8 * bar, 12 * bar]
    assert file.length == pytest.approx(plan.seconds, abs=0.01)


def test_without_mido_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mido", None)
    with pytest.raises(RequestError, match=r"pip install 'macrotime\[midi\]'"):
        write_midi(tmp_path / "song.mid", small_plan("A"))
    assert not list(tmp_path.iterdir())


def test_the_grains_are_a_library_that_says_what_each_is(song, exported):
    folder = exported[0] / "grains"
    about = json.loads((folder / "grains.json").read_text())
    assert (about["tempo"], about["key"]) == (200, "C:maj")
    assert len(about["grains"]) == len(song.grains)
    bar = round(4 * song.plan.beat_seconds * RATE)
    for number, one in enumerate(about["grains"]):
        body = sound(folder / one["file"])
        assert np.isfinite(body).all() and body.shape[1] == one["samples"]
        assert np.abs(body[:, [0, -1]]).max() < 0.02
        tags = read_tags(folder / one["file"])
        assert tags["comment"].startswith(" ".join(one["chords"]))
        assert tags["tracknumber"] == str(number + 1)
        if not one["rings"]:
            assert abs(body.shape[1] - bar) <= 1
    # The gain of the song: the body in the mix, but for fades and layers, is this one.
    loud = [one for one in about["grains"] if one["section"].startswith("chorus")]
    assert np.sqrt(np.mean(sound(folder / loud[1]["file"]) ** 2)) == pytest.approx(
        np.sqrt(np.mean(song.mix[:, 5 * bar : 6 * bar] ** 2)), rel=0.2
    )


def test_each_key_of_the_instrument_plays_a_grain_that_is_there(exported):
    folder = exported[0] / "grains"
    text = (folder / "grains.sfz").read_text()
    samples = re.findall(r"^sample=(.+)$", text, re.MULTILINE)
    assert sorted(samples) == sorted(path.name for path in folder.glob("*.wav"))
    for group in text.split("<group>")[1:]:
        keys = [int(key) for key in re.findall(r"^key=(\d+)", group, re.MULTILINE)]
        assert keys == list(range(36, 36 + len(keys)))
        (switch,) = re.findall(r"sw_last=(\d+)", group)
        assert int(switch) < 36


def test_the_structure_is_in_jams(song, exported):
    file = json.loads((exported[0] / "song.jams").read_text())
    assert file["file_metadata"]["artist"] == "Me"
    names = {annotation["namespace"] for annotation in file["annotations"]}
    assert {"segment_open", "chord_harte", "beat"} <= names


def test_two_exports_of_one_song_are_the_same_bytes(song, exported, tmp_path):
    export_song(song, tmp_path, kinds=["session", "markers", "midi", "jams"])
    for name in ("song.mid", "session/song.rpp"):
        assert (tmp_path / name).read_bytes() == (exported[0] / name).read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_an_arrangement_is_drawn_with_its_sections_layers_and_grains(
    song, tmp_path, suffix
):
    path = tmp_path / f"song{suffix}"
    draw_arrangement(path, song)
    again = tmp_path / f"again{suffix}"
    draw_arrangement(again, song)
    assert again.read_bytes() == path.read_bytes()
    if suffix == ".png":
        pixels = matplotlib.image.imread(path)[..., :3]
        assert pixels.shape[1] > 1_000
        # Each layer has its colour somewhere, and most of the paper is white.
        for shade in ("#7a5195", "#2f6690", "#c8553d"):
            near = np.abs(pixels - matplotlib.colors.to_rgb(shade)).max(axis=-1) < 0.02
            assert near.sum() > 500
        assert (pixels.min(axis=-1) == 1).mean() > 0.3
