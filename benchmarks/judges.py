"""A song's waveform to what a listener that never saw its plan hears of the form.

Tempo, key, chords, boundaries and returns, heard with librosa and judged with mir_eval.
Nothing of the project's own analysis is used: what was asked comes from the plan,
what is heard from the sound alone. `sound_judges` judges levels, stereo and joins.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import librosa
import mir_eval
import numpy as np
import scipy.cluster.hierarchy
import scipy.signal
import soxr

from structure.plan import SongPlan

RATE = 22_050  # Hz at which music is listened to
HOP = 256
FLUX_LATE = 0.026  # seconds by which the flux of a known attack is late
PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
CHORDS = tuple(f"{name}:{mode}" for mode in ("maj", "min") for name in PITCH_CLASSES)

# Krumhansl and Kessler, Psychological Review 89, 1982; Temperley, "The Cognition of
# Basic Musical Structures", 2001.
PROFILES = {
    "krumhansl": (
        (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
        (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
    ),
    "temperley": (
        (5.0, 2.0, 3.5, 2.0, 4.5, 4.0, 2.0, 4.5, 2.0, 3.5, 1.5, 4.0),
        (5.0, 2.0, 3.5, 4.5, 2.0, 4.0, 2.0, 4.5, 3.5, 2.0, 1.5, 4.0),
    ),
}


@dataclasses.dataclass(frozen=True)
class Listener:
    """What can be computed from a waveform, each thing once.

    Attributes:
        waveform: float32 [channels, samples].
        sample_rate: Hz.
    """

    waveform: np.ndarray
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.waveform.shape[1] / self.sample_rate

    @functools.cached_property
    def mono(self) -> np.ndarray:
        """The channels' mean at RATE, float32 [samples]."""
        mean = self.waveform.mean(axis=0).astype(np.float32)
        return soxr.resample(mean, self.sample_rate, RATE)

    @functools.cached_property
    def onsets(self) -> np.ndarray:
        """Spectral flux, [frames]."""
        return librosa.onset.onset_strength(
            y=self.mono, sr=RATE, hop_length=HOP, aggregate=np.median
        )

    @functools.cached_property
    def chroma(self) -> np.ndarray:
        """Log-compressed constant-Q chroma of 65 to 2,093 Hz, [12, frames]."""
        # Below lies the drum, which has no pitch class and would vote for one.
        lowest = librosa.note_to_hz("C2")
        q = librosa.cqt(
            self.mono,
            sr=RATE,
            hop_length=512,
            fmin=lowest,
            n_bins=5 * 36,
            bins_per_octave=36,
        )
        chroma = librosa.feature.chroma_cqt(
            C=np.abs(q), bins_per_octave=36, fmin=lowest, norm=np.inf
        )
        return np.log1p(10 * np.maximum(chroma, 0))

    @functools.cached_property
    def mfcc(self) -> np.ndarray:
        """The first 14 cepstral coefficients with the level, [14, frames]."""
        return librosa.feature.mfcc(y=self.mono, sr=RATE, hop_length=512, n_mfcc=14)

    @functools.cached_property
    def beats(self) -> np.ndarray:
        """Tracked beats, seconds, with the beginning and the end."""
        _, times = librosa.beat.beat_track(
            onset_envelope=self.onsets,
            sr=RATE,
            hop_length=HOP,
            units="time",
            trim=False,
        )
        if len(times) < 4:
            times = np.arange(0.5, self.seconds, 0.5)
        inside = times[(times > 0.1) & (times < self.seconds - 0.1)]
        return np.concatenate([[0.0], inside, [self.seconds]])

    def over(self, features: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Medians of features [n, frames of 512] between times: [n, len(times) - 1]."""
        edges = np.clip(np.rint(times * RATE / 512), 0, features.shape[1]).astype(int)
        return np.stack(
            [
                np.median(features[:, min(a, features.shape[1] - 1) : max(b, a + 1)], 1)
                for a, b in itertools.pairwise(edges)
            ],
            axis=1,
        )


def judge_tempo(listener: Listener, plan: SongPlan) -> dict[str, float]:
    """The pulse that one would tap, and whether attacks fall on the asked beats.

    Returns:
        tempo: heard, BPM; octave: heard over asked, the nearest of the ratios that
        are the same pulse counted otherwise; tempo_error: % from that; pulse: how much
        of the flux keeps time with the asked beat, 0 to 1; beat_lag: milliseconds by
        which attacks come after the asked beats; beat_f: F of tracked and asked beats
        within 70 ms, at the better of both countings.
    """
    tempo = _refined_tempo(listener)
    ratios = (1 / 3, 1 / 2, 1, 1.5, 3) if "8" in plan.meter else (0.25, 0.5, 1, 2, 4)
    octave = min(ratios, key=lambda r: abs(np.log(tempo / (plan.tempo * r))))
    period = plan.beat_seconds
    envelope = listener.onsets
    times = np.arange(len(envelope)) * HOP / RATE - FLUX_LATE
    inside = times < plan.seconds
    envelope = envelope[inside] - envelope[inside].min()
    # Fold at the asked beat; the first few harmonics tell how peaked that is.
    phases = np.exp(-2j * np.pi * np.outer(np.arange(1, 9), times[inside]) / period)
    harmonics = phases @ envelope / max(envelope.sum(), 1e-9)
    place = np.arange(0, 1, 1 / 256)
    turn = np.exp(2j * np.pi * np.outer(place, np.arange(1, 9)))
    folded = 1 + 2 * np.real(turn @ harmonics)
    lag = float((place[folded.argmax()] + 0.5) % 1 - 0.5)
    asked = np.arange(0, plan.seconds, period)
    scores = []
    for beats in (
        listener.beats[1:-1],
        listener.beats[1:-1:2],
        listener.beats[2:-1:2],
        _between(listener.beats[1:-1]),
    ):
        scores.append(mir_eval.beat.f_measure(asked, beats))
    return {
        "tempo": tempo,
        "octave": float(octave),
        "tempo_error": 100 * abs(tempo / (plan.tempo * octave) - 1),
        "pulse": float(np.linalg.norm(harmonics)),
        "beat_lag": 1000 * lag * period,
        "beat_f": float(max(scores)),
    }


def _between(times: np.ndarray) -> np.ndarray:
    return np.sort(np.concatenate([times, (times[1:] + times[:-1]) / 2]))


def _refined_tempo(listener: Listener) -> float:
    """The tracked tempo, sharpened by the spectrum of the whole song's flux."""
    beats = listener.beats[1:-1]
    if len(beats) < 8:
        return 60 / float(np.median(np.diff(listener.beats)))
    rough = 1 / np.median(np.diff(beats))
    envelope = listener.onsets - listener.onsets.mean()
    times = np.arange(len(envelope)) * HOP / RATE
    tried = rough * np.linspace(0.95, 1.05, 401)
    strength = sum(
        np.abs(np.exp(-2j * np.pi * h * np.outer(tried, times)) @ envelope)
        for h in (1, 2, 4)
    )
    return 60 * float(tried[strength.argmax()])


def judge_key(listener: Listener, plan: SongPlan) -> dict[str, float | str]:
    """The key by two profiles, and how near the asked one comes.

    Returns:
        key: the one heard with Temperley's profiles; key_score: mir_eval's weighted
        score of it (1 same, 0.5 a fifth away, 0.3 relative, 0.2 parallel), averaged
        over both profiles; key_rank: place of the asked key among 24, 1 is the best.
    """
    # Loud moments count for more, so that silence votes for nothing.
    chroma = np.median(
        listener.over(listener.chroma, np.arange(0, listener.seconds, 0.5)), axis=1
    )
    asked = _spelled(plan.key)
    scores, ranks, heard = [], [], ""
    for profiles in PROFILES.values():
        fits = {
            f"{name} {mode}": np.corrcoef(np.roll(profile, tonic), chroma)[0, 1]
            for mode, profile in zip(("major", "minor"), profiles, strict=True)
            for tonic, name in enumerate(PITCH_CLASSES)
        }
        order = sorted(fits, key=lambda key: -fits[key])
        heard = order[0]
        scores.append(mir_eval.key.weighted_score(asked, heard))
        ranks.append(order.index(asked) + 1)
    return {
        "key": heard,
        "key_score": float(np.mean(scores)),
        "key_rank": float(np.mean(ranks)),
    }


def _spelled(key: str) -> str:
    root, mode = key.split(":")
    tonic = mir_eval.chord.pitch_class_to_semitone(root) % 12
    return f"{PITCH_CLASSES[tonic]} {'major' if mode == 'maj' else 'minor'}"


def judge_chords(listener: Listener, plan: SongPlan) -> dict[str, float]:
    """Chords heard beat by beat against those asked.

    Returns:
        chords: share of time with the asked major or minor triad, other qualities
        left out; roots: share of time with the asked root; spans: share of the
        asked chords that fit best when their times are known; chord_chance: what
        `chords` would be if the plan had its bars in other orders.
    """
    times, heard = hear_chords(listener)
    asked_times, asked = asked_chords(plan)
    intervals, reference, estimate = _merged(asked_times, asked, times, heard)
    durations = intervals[:, 1] - intervals[:, 0]

    def agreement(compare, labels) -> float:
        return float(
            mir_eval.chord.weighted_accuracy(compare(labels, estimate), durations)
        )

    templates = chord_templates()
    fits = templates @ _unit(listener.over(listener.chroma, asked_times))
    best = [CHORDS[i] for i in fits.argmax(axis=0)]
    right = mir_eval.chord.majmin(asked, best)
    random = np.random.default_rng(0)
    chance = []
    for _ in range(10):
        shuffled = random.permutation(len(asked))
        places = {chord: n for n, chord in enumerate(asked_times[:-1])}
        again = [asked[shuffled[places[t]]] for t in _spans(asked_times, intervals)]
        chance.append(agreement(mir_eval.chord.majmin, again))
    return {
        "chords": agreement(mir_eval.chord.majmin, reference),
        "roots": agreement(mir_eval.chord.root, reference),
        "spans": float(np.mean(right[right >= 0])) if np.any(right >= 0) else np.nan,
        "chord_chance": float(np.mean(chance)),
    }


def _spans(starts: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    middle = intervals.mean(axis=1)
    return starts[np.clip(np.searchsorted(starts, middle) - 1, 0, len(starts) - 2)]


def asked_chords(plan: SongPlan) -> tuple[np.ndarray, list[str]]:
    """Times in seconds, [chords + 1], and the chord from each to the next."""
    bar_seconds = plan.beats_per_bar * plan.beat_seconds
    bars = [bar for section in plan.sections for bar in section.chords]
    times = [
        (number + place / len(bar)) * bar_seconds
        for number, bar in enumerate(bars)
        for place in range(len(bar))
    ]
    return np.array([*times, plan.seconds]), [chord for bar in bars for chord in bar]


def chord_templates() -> np.ndarray:
    """Unit triads, [24, 12], in the order of CHORDS."""
    rows = []
    for third in (4, 3):
        triad = np.zeros(12)
        triad[[0, third, 7]] = 1
        rows += [np.roll(triad, root) for root in range(12)]
    return np.array(rows) / 3**0.5


def hear_chords(listener: Listener) -> tuple[np.ndarray, list[str]]:
    """Times [beats + 1] and the likeliest triad of each beat, by Viterbi decoding."""
    fits = chord_templates() @ _unit(listener.over(listener.chroma, listener.beats))
    odds = np.exp(20 * (fits - fits.max(axis=0, keepdims=True)))
    stay = librosa.sequence.transition_loop(len(CHORDS), 0.7)
    path = librosa.sequence.viterbi_discriminative(odds / odds.sum(axis=0), stay)
    return listener.beats, [CHORDS[state] for state in path]


def _unit(columns: np.ndarray) -> np.ndarray:
    return columns / np.maximum(np.linalg.norm(columns, axis=0, keepdims=True), 1e-9)


def _merged(asked_times, asked, times, heard):
    """Both sequences on the same intervals."""
    span = np.stack([times[:-1], times[1:]], axis=1)
    estimate, labels = mir_eval.util.adjust_intervals(
        span, heard, asked_times[0], asked_times[-1], "N", "N"
    )
    given = np.stack([asked_times[:-1], asked_times[1:]], axis=1)
    return mir_eval.util.merge_labeled_intervals(given, asked, estimate, labels)


def judge_form(listener: Listener, plan: SongPlan) -> dict[str, float]:
    """Boundaries and returns found by a segmentation that knows nothing of the plan.

    Returns:
        hit_05, hit_3: F of boundaries within 0.5 and 3 s, the song's ends left out;
        recall_3: of the asked boundaries; returns: F of pairs of moments that share a
        letter; sections: how many were heard; alike, unlike: likeness of sections
        with the same letter and with different ones, compared moment by moment, -1 to
        1; contrast: how far the mean timbre and level of sections with different
        letters lie apart, in standard deviations of the song's beats.
    """
    times, letters = hear_form(listener)
    starts = np.array(plan.starts())
    asked = np.stack([starts[:-1], starts[1:]], axis=1)
    names = [section.letter for section in plan.sections]
    heard, heard_names = mir_eval.util.adjust_intervals(
        np.stack([times[:-1], times[1:]], axis=1), letters, 0.0, plan.seconds, "?", "?"
    )
    scores = {
        window: mir_eval.segment.detection(asked, heard, window=window, trim=True)
        for window in (0.5, 3.0)
    }
    _, _, pairs = mir_eval.segment.pairwise(asked, names, heard, heard_names)
    return {
        "hit_05": float(scores[0.5][2]),
        "hit_3": float(scores[3.0][2]),
        "recall_3": float(scores[3.0][1]),
        "returns": float(pairs),
        "sections": float(len(heard)),
        **_likeness_of_sections(listener, plan),
    }


def _likeness_of_sections(listener: Listener, plan: SongPlan) -> dict[str, float]:
    beats = np.arange(plan.bars * plan.beats_per_bar + 1) * plan.beat_seconds
    features = _moments(listener, beats)
    edges = np.rint(np.array(plan.starts()) / plan.beat_seconds).astype(int)
    same, other, apart = [], [], []
    timbre = features[:14] / features[:14].std(axis=1, keepdims=True).clip(1e-9)
    for i, one in enumerate(plan.sections):
        for j, two in enumerate(plan.sections[:i]):
            a, b = features[:, edges[i] : edges[i + 1]], features[:, edges[j] :]
            length = min(a.shape[1], edges[j + 1] - edges[j])
            likeness = float(
                np.mean(np.sum(_unit(a[:, :length]) * _unit(b[:, :length]), axis=0))
            )
            (same if one.letter == two.letter else other).append(likeness)
            if one.letter != two.letter:
                gap = timbre[:, edges[i] : edges[i + 1]].mean(axis=1)
                gap = gap - timbre[:, edges[j] : edges[j + 1]].mean(axis=1)
                apart.append(float(np.sqrt(np.mean(gap**2))))

    def mean(values):
        return float(np.mean(values)) if values else float("nan")

    return {"alike": mean(same), "unlike": mean(other), "contrast": mean(apart)}


def _moments(listener: Listener, times: np.ndarray) -> np.ndarray:
    """Timbre and harmony between times, each half of the length of a column."""
    timbre = listener.over(listener.mfcc, times)
    timbre = timbre - timbre.mean(axis=1, keepdims=True)
    # The first coefficient is the level; unscaled it would drown the others.
    timbre[0] *= 0.3
    harmony = _unit(listener.over(listener.chroma, times))
    harmony = harmony - harmony.mean(axis=1, keepdims=True)
    return np.concatenate(
        [part / np.sqrt((part**2).sum(axis=0).mean()) for part in (timbre, harmony)]
    )


def hear_form(listener: Listener) -> tuple[np.ndarray, list[str]]:
    """Boundaries in seconds, with both ends, and a letter for each section.

    Boundaries are peaks of the novelty along the diagonal of a self-similarity matrix
    of beats; sections are clustered by how alike they are moment by moment.

    Source: Foote, "Automatic audio segmentation using a measure of audio novelty",
    ICME 2000; Cooper and Foote, "Summarizing popular music via structural similarity
    analysis", WASPAA 2003.
    """
    beats = listener.beats
    features = _moments(listener, beats)
    # Chords change within sections, timbre rarely does: it counts for more here.
    novelty = _novelty(np.concatenate([2 * features[:14], features[14:]]))
    # Sections last 8 beats or more, and 5 seconds.
    apart = max(8, int(5 / np.median(np.diff(beats))))
    peaks, _ = scipy.signal.find_peaks(
        novelty, distance=apart, prominence=0.2 * max(novelty.max(), 1e-9)
    )
    edges = np.array([0, *peaks[(peaks >= 4) & (peaks <= len(novelty) - 4)], -1])
    edges[-1] = features.shape[1]
    letters = _letters(features, edges)
    return beats[edges], letters


def _novelty(features: np.ndarray, *, half: int = 16) -> np.ndarray:
    """Checkerboard novelty at the start of each beat, [beats], `half` beats each way."""
    unit = _unit(features)
    padded = np.pad(unit, [(0, 0), (half, half)], mode="edge")
    alike = padded.T @ padded
    offset = np.arange(-half, half) + 0.5
    taper = np.exp(-0.5 * (offset / (half / 2)) ** 2) * np.sign(offset)
    kernel = np.outer(taper, taper) / np.abs(np.outer(taper, taper)).sum()
    return np.array(
        [
            np.sum(kernel * alike[beat : beat + 2 * half, beat : beat + 2 * half])
            for beat in range(features.shape[1])
        ]
    )


def _letters(features: np.ndarray, edges: np.ndarray) -> list[str]:
    """Cluster the sections between edges; as many clusters as fall apart best."""
    count = len(edges) - 1
    if count < 3:
        return [chr(65 + n) for n in range(count)]
    unit = _unit(features)
    alike = unit.T @ unit
    apart = np.zeros([count, count])
    for i in range(count):
        for j in range(i):
            block = alike[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
            apart[i, j] = apart[j, i] = 1 - _best_diagonal(block)
    condensed = apart[np.tril_indices(count, -1)]
    upper = apart[np.triu_indices(count, 1)]
    tree = scipy.cluster.hierarchy.linkage(upper, "average")
    # Sections are the same where they are nearer than halfway to the typical stranger.
    threshold = 0.5 * np.quantile(condensed, 0.75)
    labels = scipy.cluster.hierarchy.fcluster(tree, threshold, "distance")
    return [f"S{label}" for label in labels]


def _best_diagonal(block: np.ndarray) -> float:
    """Highest mean along a diagonal that covers most of the shorter side."""
    if block.shape[0] > block.shape[1]:
        block = block.T
    rows, columns = block.shape
    least = max(4, int(0.75 * rows))
    sums = [
        np.diagonal(block, offset).mean()
        for offset in range(-rows + 1, columns)
        if len(np.diagonal(block, offset)) >= min(least, rows)
    ]
    return float(max(sums))
