"""An album is one object: keys, arcs, motifs, gains and lists that hold together."""

import itertools
import json
import tomllib

import numpy as np
import pytest

from hierarchy.album import arcs, keys, motifs
from hierarchy.album.finishing import SOFTWARE
from hierarchy.album.folder import file_name
from hierarchy.album.loudness import (
    NoteTaker,
    album_gain,
    album_loudness,
    highest_peak,
)
from hierarchy.album.manifest import Manifest
from hierarchy.album.planning import Track, plan_album
from hierarchy.album.request import album_request, read_album
from hierarchy.album.titles import make_titles
from hierarchy.macro.mastering import finish, true_peak_db
from hierarchy.material.loudness import block_powers, measure_loudness
from structure.errors import RequestError
from structure.harmony import Chord, Key
from structure.plan import Note, Section, SongPlan
from structure.sequencer import Sequencer
from tests.small_worlds import small_plan, tiny_model

RATE = 16_000


# ---- What is asked -----------------------------------------------------------------


def test_an_album_asked_for_nothing_has_an_answer_to_everything():
    asked = album_request({})
    assert asked.count == 8
    assert album_request({"song": [{}, {}]}).count == 2
    assert album_request({"song": [{}], "songs": 3}).entry(2).title is None


def test_an_album_file_survives_its_text(tmp_path):
    plan = tmp_path / "own.plan.json"
    small_plan("AC").write(plan)
    path = tmp_path / "album.toml"
    path.write_text(
        'title = "Rain \\"and\\" snow"\nstyle = "lofi"\nkeys = "C, A:min"\ngap = 1\n'
        '[[song]]\ntitle = "Über"\ntempo = 90\n[[song]]\nplan = "own.plan.json"\n'
    )
    asked = read_album(path, seed=3)
    assert (asked.style, asked.keys, asked.seed) == (("lofi",), ("C:maj", "A:min"), 3)
    assert asked.song[1].plan == plan, "a plan is sought beside the file that names it"
    assert album_request(tomllib.loads(asked.to_toml())) == asked


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"temp": 90}, "no key 'temp' (is 'tempo' meant?)"),
        ({"tempo": "fast"}, "tempo: 'fast': input should be a valid number"),
        ({"tempo": 1000}, "tempo: 1000: input should be less than or equal to 300"),
        ({"song": [{}, {"fomr": "x"}]}, "song 2: no key 'fomr' (is 'form' meant?)"),
        ({"song": [{"form": "waltz"}]}, "song 1: form: form 'waltz'"),
        ({"song": [4]}, "song 1: 4: input should be a table"),
        ({"song": [{"plan": "a", "key": "C"}]}, "song 1: key beside a plan"),
        ({"songs": 1, "song": [{}, {}]}, "songs = 1, but 2 [[song]] entries"),
        ({"keys": "fifth"}, "keys: 'fifth' (is 'fifths' meant?)"),
        ({"arc": "risen"}, "arc: 'risen' (is 'rise' meant?)"),
        ({"key": "H"}, "key: key 'H'"),
        ({"style": 3}, "style: 3: input should be a list"),
        ({"date": "soon"}, "2026, 2026-11 or 2026-11-21"),
        ({"format": "mp3"}, "'flac', 'wav' or 'ogg'"),
    ],
)
def test_what_an_album_cannot_be_is_refused_by_its_name(asked, message):
    with pytest.raises(RequestError) as error:
        album_request(asked)
    assert message in str(error.value)


# ---- Keys, arcs, titles ------------------------------------------------------------


@pytest.mark.parametrize("name", keys.PATHS)
@pytest.mark.parametrize("home", ["A:min", "F#:maj"])
def test_neighbouring_songs_share_six_notes_of_seven(name, home):
    path = keys.follow_path(name, Key.parse(home), 13)
    assert path[0] == Key.parse(home) and len(path) == 13
    for one, other in itertools.pairwise(path):
        assert keys.distance(one, other) <= 1
        assert len(set(one.scale) & set(other.scale)) >= 6


def test_a_path_there_and_back_ends_at_home_and_the_fifths_go_round():
    home = Key.parse("D")
    for songs in (1, 2, 3, 8, 12):
        assert keys.follow_path("there-and-back", home, songs)[-1] == home
    assert len(set(keys.follow_path("fifths", home, 12))) == 12
    assert keys.follow_path("fourths", home, 13)[-1] == home


def test_arcs_go_where_their_names_say():
    rise, _ = arcs.follow_arc("rise", 7)
    assert rise == sorted(rise) and rise[0] == -1 and rise[-1] == 1
    arch, tempo = arcs.follow_arc("arch", 7)
    assert np.argmax(arch) == np.argmax(tempo) == 3
    valley, _ = arcs.follow_arc("valley", 7)
    assert np.argmin(valley) == 3
    journey, _ = arcs.follow_arc("journey", 10)
    assert 5 <= np.argmax(journey) <= 8 and np.argmin(journey) == 9
    for name, songs in itertools.product(arcs.ARCS, (1, 2, 12)):
        for curve in arcs.follow_arc(name, songs):
            assert len(curve) == songs and max(map(abs, curve)) <= 1


def test_titles_differ_and_come_back_with_their_seed():
    titles = make_titles(99, seed=4)
    assert len(set(titles)) == 99 and titles == make_titles(99, seed=4)
    assert titles != make_titles(99, seed=5)
    assert not set(make_titles(20, seed=4, taken=tuple(titles[:5]))) & set(titles[:5])


def test_the_name_of_a_file_is_one_anywhere():
    def name(title):
        plan = small_plan("A", title=title)
        return file_name(Track(number=7, plan=plan, energy=None, gap=0), ".ogg")

    assert name("What? <Now>") == "07 What Now.ogg"
    assert name("a/b\\c:d") == "07 a-b-c-d.ogg"
    assert name("...") == "07 Untitled.ogg"
    assert len(name("é" * 500).encode()) < 255


# ---- Motifs ------------------------------------------------------------------------

THEME = Section(
    label="chorus",
    letter="B",
    chords=(("C:maj", "G:maj"), ("A:min",)),
    gestures=((0, 1, 2, 3), (4, 5, 6, 7)),
    melody=(Note(0, 2, 60), Note(3, 4, 67)),
)


def test_a_motif_keeps_its_intervals_and_gestures_in_another_key():
    quote = motifs.quoted(THEME, from_key="C", to_key="E", bars=3, beats_per_bar=4)
    assert quote.chords == (("E:maj", "B:maj"), ("C#:min",), ("E:maj", "B:maj"))
    assert quote.gestures == (*THEME.gestures, THEME.gestures[0])
    # The melody goes round with the chords, and ends where the section ends.
    first = (Note(0, 2, 64), Note(3, 4, 71))
    assert quote.melody == (*first, Note(8, 2, 64), Note(11, 1, 71))
    assert motifs.motif_likeness(THEME, quote, semitones=4) == 1
    assert motifs.motif_likeness(THEME, quote, semitones=5) == 0.5


def test_a_motif_is_at_home_in_the_relative_key():
    assert motifs.transposition("C", "A:min") == 0
    assert motifs.transposition("A:min", "G:maj") == -5
    for major, minor in itertools.product(("C", "E", "Bb"), ("A:min", "F#:min")):
        steps = motifs.transposition(major, minor)
        assert -5 <= steps <= 6
        scale = {(note + steps) % 12 for note in Key.parse(major).scale}
        assert scale == set(Key.parse(minor).scale)


@pytest.mark.parametrize("songs", [2, 3, 8, 12])
def test_songs_quote_earlier_ones_and_the_last_one_the_first(songs):
    for seed in range(20):
        quotes = motifs.choose_quotes(songs, songs // 2, seed=seed)
        assert len(quotes) == songs // 2
        assert all(source < song for song, source in quotes.items())
        assert quotes[songs - 1] == 0
    assert motifs.choose_quotes(songs, 0, seed=1) == {}
    assert motifs.choose_quotes(1, 3, seed=1) == {}


# ---- The plan of an album ------------------------------------------------------------


@pytest.fixture(scope="module")
def sequencer():
    from hierarchy.macro.rendering import PRETRAINED

    return Sequencer.read(PRETRAINED)


@pytest.fixture(scope="module")
def album(small_song, sequencer):
    asked = album_request(
        {
            "songs": 6,
            "seed": 11,
            "date": "2026",
            "key": "A:min",
            "arc": "rise",
            "tempo": 110,
            "minutes": 0.6,
            "song": [{}, {"title": "Mine", "tempo": 131, "form": "V4 C4 V4"}],
        }
    )
    return plan_album(asked, tiny_model(small_song), sequencer)


def test_songs_follow_the_path_of_keys_and_the_arc(album):
    plans = [track.plan for track in album.tracks]
    path = keys.follow_path("there-and-back", Key.parse("A:min"), 6)
    assert [plan.key for plan in plans] == [str(key) for key in path]
    tempos = [plan.tempo for plan in plans if plan.title != "Mine"]
    assert tempos == sorted(tempos)
    assert tempos[0] == pytest.approx(110 * 0.88, abs=0.1)
    assert tempos[-1] == pytest.approx(110 * 1.12, abs=0.1)
    energy = [
        np.average(
            [s.energy for s in plan.sections], weights=[s.bars for s in plan.sections]
        )
        for plan in plans
    ]
    assert energy == pytest.approx(0.58 + 0.2 * np.linspace(-1, 1, 6), abs=0.06)
    lengths = [plan.seconds for plan in plans if plan.title != "Mine"]
    assert all(length == pytest.approx(36, rel=0.35) for length in lengths)


def test_an_entry_has_the_last_word_on_its_song(album):
    plan = album.tracks[1].plan
    assert (plan.title, plan.tempo) == ("Mine", 131)
    assert [s.label for s in plan.sections] == ["verse", "chorus", "verse"]


def test_forms_vary_and_titles_are_all_different(album):
    forms = [[s.label for s in track.plan.sections] for track in album.tracks]
    assert all(a != b for a, b in itertools.pairwise(forms))
    assert len({album.title, *(track.title for track in album.tracks)}) == 7


def test_motifs_come_back_as_they_were_in_their_new_key(album):
    quotes = [(track, quote) for track in album.tracks for quote in track.quotes]
    assert len(quotes) == 3
    for track, quote in quotes:
        source = album.tracks[quote.song - 1]
        assert quote.song < track.number and quote.gestures
        theme = motifs.theme_of(source.plan)
        assert theme.letter == quote.letter
        into = [s for s in track.plan.sections if s.letter == quote.into]
        for section in into:
            alike = motifs.motif_likeness(theme, section, semitones=quote.semitones)
            assert alike == 1
            assert bool(section.melody) == bool(theme.melody)
            if theme.melody:
                pitch = theme.melody[0].pitch + quote.semitones
                assert section.melody[0].pitch == pitch
        # At home in the new key as it was in the old one.
        scale = set(Key.parse(track.plan.key).scale)
        roots = {Chord.parse(c).root for bar in into[0].chords for c in bar}
        old_scale = set(Key.parse(source.plan.key).scale)
        old_roots = {Chord.parse(c).root for bar in theme.chords for c in bar}
        if old_roots <= old_scale:
            assert roots <= scale
    assert quotes[-1][0].number == 6 and quotes[-1][1].song == 1


def test_an_album_is_the_same_from_the_same_seed(album, small_song, sequencer):
    again = plan_album(album.request, tiny_model(small_song), sequencer)
    assert again == album
    other = album.request.model_copy(update={"seed": 12, "songs": 2})
    plans = plan_album(other, tiny_model(small_song), sequencer)
    assert plans.tracks[0].plan.sections != album.tracks[0].plan.sections


def test_a_song_that_cannot_be_is_missing_alone(small_song, sequencer, tmp_path):
    (tmp_path / "mine.plan.json").write_text("{}")
    entries = [
        {},
        {"form": "V4 C4", "minutes": 9},
        {"plan": str(tmp_path / "mine.plan.json")},
        {"title": "Lost", "plan": str(tmp_path / "lost.json")},
    ]
    asked = {"songs": 5, "seed": 1, "minutes": 0.5, "motifs": 3}
    album = plan_album(
        album_request(asked | {"song": entries}), tiny_model(small_song), sequencer
    )
    assert [track.number for track in album.tracks] == [1, 5]
    whole = plan_album(album_request(asked), tiny_model(small_song), sequencer)
    assert album.tracks[0] == whole.tracks[0]
    gone = {song.number: song for song in album.unplanned}
    assert {n: song.title for n, song in gone.items() if n != 2} == {
        3: "mine.plan",
        4: "Lost",
    }
    assert "8 bars together" in gone[2].reason and "mine.plan.json" in gone[3].reason
    assert "lost.json" in gone[4].reason


@pytest.mark.parametrize("cut", [700, 4096, 16_000])
def test_notes_are_the_same_however_a_mix_is_cut(cut):
    random = np.random.default_rng(0)
    sound = 0.1 + 0.3 * random.normal(size=[2, 50_003]).astype(np.float32)

    def taken(pieces):
        taker = NoteTaker(RATE)
        passed = list(taker.listen(pieces))
        np.testing.assert_array_equal(np.concatenate(passed, axis=1), sound)
        return taker.notes()

    whole = taken([sound])
    parts = taken(np.split(sound, range(cut, sound.shape[1], cut), axis=1))
    np.testing.assert_array_equal(parts.peaks, whole.peaks)
    np.testing.assert_allclose(parts.tenths, whole.tenths, rtol=1e-12)
    assert parts.samples == whole.samples == sound.shape[1]


def test_what_no_song_can_be_is_refused(small_song, sequencer):
    asked = {"songs": 2, "seed": 1, "song": [{"form": "V4 C4", "minutes": 9}] * 2}
    with pytest.raises(RequestError, match="song 1: "):
        plan_album(album_request(asked), tiny_model(small_song), sequencer)
    with pytest.raises(RequestError, match="no style 'polka'"):
        plan_album(
            album_request({"style": "polka", "seed": 1}),
            tiny_model(small_song),
            sequencer,
        )


# ---- One gain for all ----------------------------------------------------------------


def made_mix(level: float, seed: int, *, seconds: float = 9.3) -> np.ndarray:
    """Noise that swells, with hits that stand far above it."""
    random = np.random.default_rng(seed)
    count = round(seconds * RATE)
    swell = 0.5 + 0.5 * np.sin(np.arange(count) / RATE)
    noise = random.normal(size=[2, count]) * swell
    noise[:, :: RATE // 3] *= 12
    return (level * noise).astype(np.float32)


def cut(mix: np.ndarray, size: int = 12_345) -> list[np.ndarray]:
    return [mix[:, at : at + size] for at in range(0, mix.shape[1], size)]


def mastered(mix: np.ndarray, gain: float) -> np.ndarray:
    song = finish(
        cut(mix), RATE, length=mix.shape[1], gain=gain, keep_within=np.inf, fade_out=0.3
    )
    return song.waveform


def noted(mix: np.ndarray):
    taker = NoteTaker(RATE)
    passed = np.concatenate(list(taker.listen(cut(mix))), axis=1)
    assert passed.tobytes() == mix.tobytes()
    return taker.notes()


@pytest.mark.parametrize("loudness", [-23.0, -14.0, -9.0])
def test_an_album_is_as_loud_as_asked_and_no_peak_passes(loudness):
    mixes = [made_mix(0.02, 1), made_mix(0.06, 2), made_mix(0.01, 3)]
    gain = album_gain([noted(mix) for mix in mixes], loudness=loudness, true_peak=-1)
    songs = [mastered(mix, gain) for mix in mixes]
    heard = album_loudness([block_powers(song, RATE) for song in songs])
    assert heard == pytest.approx(loudness, abs=0.3)
    assert max(true_peak_db(song) for song in songs) <= -1 + 0.05


def test_songs_of_an_album_keep_how_loud_they_are_to_each_other():
    mixes = [made_mix(0.02, 1), made_mix(0.04, 2)]
    gain = album_gain([noted(mix) for mix in mixes], loudness=-24, true_peak=-1)
    before = [measure_loudness(mix, RATE) for mix in mixes]
    after = [measure_loudness(mastered(mix, gain), RATE) for mix in mixes]
    assert after[1] - after[0] == pytest.approx(before[1] - before[0], abs=0.3)
    # A song by itself would come out at the same loudness, the soft one too.
    assert after[1] - after[0] > 4


def test_a_silent_album_stays_silent_and_a_faint_one_is_heard():
    silence = np.zeros([2, RATE], np.float32)
    assert album_gain([noted(silence)], loudness=-14, true_peak=-1) == 0
    faint = made_mix(1e-6, 4)
    gain = album_gain([noted(faint)], loudness=-20, true_peak=-1)
    assert measure_loudness(mastered(faint, gain), RATE) == pytest.approx(-20, abs=0.3)


def test_the_highest_peak_is_the_same_however_the_sound_is_cut():
    song = made_mix(0.05, 5)
    song[:, 4_096:4_100] = np.array([0.9, -0.9, 0.9, -0.9], np.float32)
    for size in (48, 4_098, 1_000_000):
        peak = highest_peak(cut(song, size))
        assert 20 * np.log10(peak) == pytest.approx(true_peak_db(song), abs=0.02)


# ---- Lists ---------------------------------------------------------------------------


def test_a_manifest_survives_its_file_and_names_only_what_it_knows(tmp_path):
    manifest = Manifest(
        title="T",
        artist="A",
        date="2026",
        seed=1,
        software=SOFTWARE,
        complete=False,
        sample_rate=RATE,
        gain=1.5,
        loudness=None,
        loudness_asked=-14,
        true_peak=None,
        cover=None,
        cue=None,
        playlist=None,
        request="request.toml",
        songs=(),
    )
    path = tmp_path / "album.json"
    manifest.write(path)
    assert Manifest.read(path) == manifest
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unknown": 1}))
    with pytest.raises(RequestError, match="unknown"):
        Manifest.read(path)


def test_a_cover_is_drawn_from_any_album(album, tmp_path):
    from matplotlib.image import imread

    from hierarchy.album.cover import PIXELS, draw_cover

    one = album.tracks[0].model_copy(update={"quotes": ()})
    long = album.model_copy(
        update={"tracks": (one,), "title": "$Much \\longer$ than fits on a cover " * 3}
    )
    pictures = []
    for name, drawn in (("a", album), ("b", long), ("c", album)):
        path = tmp_path / f"{name}.png"
        draw_cover(path, drawn, artist="Somebody")
        pictures.append(imread(path))
        assert pictures[-1].shape[:2] == (PIXELS, PIXELS)
    assert pictures[0].std() > 0.05, "something is on it"
    assert not np.array_equal(pictures[0], pictures[1])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_keys_that_are_near_have_colours_that_are_near():
    from hierarchy.album.cover import key_colour

    def apart(one, other):
        a, b = (key_colour(key, lightness=0.6) for key in (one, other))
        return float(np.abs(a - b).sum())

    assert apart("C", "A:min") == 0
    assert 0 < apart("C", "G") < apart("C", "D") < apart("C", "F#")


def test_plans_of_an_album_are_plans_of_songs(album, tmp_path):
    for track in album.tracks:
        track.plan.write(tmp_path / "p.json")
        assert SongPlan.read(tmp_path / "p.json") == track.plan
        assert all(section.gestures for section in track.plan.sections)
