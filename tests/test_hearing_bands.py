"""Bands that the listener never met: where their sections are, and in what metre they play.

benchmarks/listening.py asks more of the same.
"""

import functools

import mir_eval
import numpy as np

from structure.listening import listen
from tests.made_bands import STRANGERS, random_song
from tests.made_songs import RATE
from tests.test_listening import section_scores

METERS = ("4/4", "3/4", "6/8")
SEEDS = (9000, 9001)


@functools.cache
def heard_song(meter, seed, drums):
    song = random_song(seed, instruments=STRANGERS, meter=meter, drums=drums)
    return song, listen(song.waveform, RATE)


def all_songs():
    return [
        heard_song(meter, seed, drums)
        for meter in METERS
        for seed in SEEDS
        for drums in (True, False)
    ]


def test_boundaries_and_returns_are_heard_in_most_songs():
    scores = np.array([section_scores(song, heard) for song, heard in all_songs()])
    assert scores[:, 0].mean() > 0.85 and scores[:, 1].mean() > 0.8
    assert np.median(scores[:, 0]) > 0.9 and np.median(scores[:, 1]) > 0.85


def test_metre_tempo_and_bar_lines_are_heard_in_most_songs():
    right, downbeats = dict.fromkeys(METERS, 0), 0
    for song, heard in all_songs():
        same = abs(heard.tempo / song.tempo - 1) < 0.01
        right[song.meter] += same and heard.meter == song.meter
        found = np.array(heard.beat_times)[list(heard.downbeats)]
        true = song.beat_times[song.downbeats]
        downbeats += mir_eval.beat.f_measure(true, found) > 0.9
    # Of four each; a 6/8 is the hardest to tell.
    assert right["4/4"] == 4 and right["3/4"] >= 3 and right["6/8"] >= 2
    assert sum(right.values()) >= 9 and downbeats >= 9


def test_a_verse_and_a_chorus_come_with_how_sure_they_are():
    sure = {True: [], False: []}
    for song, heard in all_songs():
        starts = np.array(heard.boundaries[:-1])
        for true, label in zip(song.boundaries, song.labels, strict=False):
            if label not in ("verse", "chorus"):
                continue
            place = int(np.argmin(np.abs(starts - true)))
            said = heard.labels[place]
            if said in ("verse", "chorus"):
                sure[said == label].append(heard.label_confidence[place])
    assert all(0 < x < 1 for values in sure.values() for x in values)
    # It is right more often than not, and surer of what is right.
    assert len(sure[True]) > 2 * len(sure[False])
    assert np.mean(sure[True]) > np.mean(sure[False] or [0])


def test_a_song_ends_where_its_sound_does():
    # Two seconds of silence follow the last bar.
    late = [heard.boundaries[-1] - song.boundaries[-1] for song, heard in all_songs()]
    assert np.median(np.abs(late)) < 0.1 and max(late) < 2.0
