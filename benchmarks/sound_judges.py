"""A song's waveform to faults that one hears in any sound: levels, stereo, joins.

Written with NumPy, SciPy and pyloudnorm alone; `judges` listens to the form.
"""

from __future__ import annotations

import itertools
import warnings

import librosa
import numpy as np
import pyloudnorm
import scipy.ndimage
import scipy.signal
import scipy.stats

from structure.plan import SongPlan

JOIN_EARLY = 0.025  # seconds by which grains begin before their bar lines
SILENT = 1e-3  # -60 dBFS
HIGH = 8_000  # Hz; a click has more than its share above


def judge_levels(waveform: np.ndarray, sample_rate: int) -> dict[str, float]:
    """What a mastering engineer would refuse.

    Args:
        waveform: float32 [channels, samples].
        sample_rate: Hz.

    Returns:
        loudness: LUFS; true_peak: dBTP at four times the rate; clipped: samples in
        runs of two or more at full scale; dc: of the worse channel, dBFS; silence:
        the longest inside, seconds; crest: peak over rms, dB.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyloudnorm warns about silent blocks
        loudness = pyloudnorm.Meter(sample_rate).integrated_loudness(waveform.T)
    oversampled = scipy.signal.resample_poly(waveform, 4, 1, axis=1)
    full = np.abs(waveform) > 0.999
    runs = full[:, 1:] & full[:, :-1]
    window = round(0.02 * sample_rate)
    blocks = waveform.shape[1] // window
    loud = np.abs(waveform[:, : blocks * window]).max(axis=0).reshape(blocks, window)
    sounding = np.flatnonzero(loud.max(axis=1) > SILENT)
    longest = np.diff(sounding).max() - 1 if len(sounding) > 1 else blocks
    rms = np.sqrt(np.mean(waveform.astype(np.float64) ** 2))
    return {
        "loudness": float(loudness),
        "true_peak": _db(np.abs(oversampled).max()),
        "clipped": float(runs.sum()),
        "dc": _db(np.abs(waveform.mean(axis=1, dtype=np.float64)).max()),
        "silence": float(longest * window / sample_rate),
        "crest": _db(np.abs(waveform).max() / max(rms, 1e-9)),
    }


def judge_stereo(waveform: np.ndarray, sample_rate: int) -> dict[str, float]:
    """How wide it is and what a single loudspeaker loses.

    Returns:
        width: side over middle, dB; correlation of left and right; mono_loss: dB of
        loudness that the sum to mono loses against both channels.
    """
    left, right = np.float64(waveform if len(waveform) == 2 else waveform[[0, 0]])
    middle, side = (left + right) / 2, (left - right) / 2
    power = np.sqrt(np.vdot(left, left) * np.vdot(right, right))
    both = np.sqrt((np.vdot(left, left) + np.vdot(right, right)) / 2)
    return {
        "width": _db(np.linalg.norm(side) / max(np.linalg.norm(middle), 1e-12)),
        "correlation": float(np.vdot(left, right) / max(power, 1e-12)),
        "mono_loss": -_db(np.linalg.norm(middle) / max(both, 1e-12)),
    }


def judge_colour(waveform: np.ndarray, sample_rate: int) -> dict[str, float]:
    """What the sound is made of, to be held against real recordings.

    Returns:
        low, mid, high, air: levels below 200 Hz, from 200 to 2,000, to 8,000 and
        above, in dB of the whole; rolloff: Hz below which 95% of the power lies;
        flatness: dB, of the spectrum from 1 to 10 kHz in frames of 93 ms, median: 0
        is white noise, tones lie far below; gaps: how far valleys lie below the
        peaks beside them, from 300 to 3,000 Hz, dB, median: noise between partials
        fills them; motion: mean change of the spectrum from one frame to the next,
        dB, from 100 Hz to 8 kHz.
    """
    mono = waveform.mean(axis=0)
    size = 2 ** round(np.log2(0.093 * sample_rate))
    frequency, _, spectrum = scipy.signal.stft(mono, sample_rate, nperseg=size)
    power = np.abs(spectrum) ** 2 + 1e-14
    total = power.mean(axis=1)
    loud = power.sum(axis=0) > 1e-3 * np.median(power.sum(axis=0))

    def band(low: float, high: float) -> np.ndarray:
        return (frequency >= low) & (frequency < high)

    result = {
        name: float(10 * np.log10(total[band(*edges)].sum() / total.sum()))
        for name, edges in {
            "low": (0, 200),
            "mid": (200, 2000),
            "high": (2000, 8000),
            "air": (8000, sample_rate),
        }.items()
    }
    share = np.cumsum(total) / total.sum()
    result["rolloff"] = float(frequency[np.searchsorted(share, 0.95)])
    some = power[band(1000, 10_000)][:, loud]
    flatness = np.exp(np.log(some).mean(axis=0)) / some.mean(axis=0)
    result["flatness"] = float(np.median(10 * np.log10(flatness)))
    here = 10 * np.log10(power[band(300, 3000)][:, loud])
    width = max(3, round(100 / (sample_rate / size)))
    top = scipy.ndimage.maximum_filter1d(here, width, axis=0)
    bottom = scipy.ndimage.minimum_filter1d(here, width, axis=0)
    result["gaps"] = float(np.median(top - bottom))
    mel = librosa.feature.melspectrogram(
        S=power[:, loud], sr=sample_rate, n_mels=64, fmin=100, fmax=8000
    )
    steps = np.abs(np.diff(10 * np.log10(mel + 1e-10), axis=1))
    result["motion"] = float(steps.mean())
    return result


def judge_dynamics(
    waveform: np.ndarray, sample_rate: int, plan: SongPlan
) -> dict[str, float]:
    """Whether sections are as loud as asked.

    Returns:
        chorus_over_verse: LU, nan without either; energy_rank: Spearman correlation
        of asked energy and heard loudness of the sections.
    """
    meter = pyloudnorm.Meter(sample_rate)
    starts = [round(start * sample_rate) for start in plan.starts()]
    heard = []
    for begin, end in itertools.pairwise(starts):
        part = waveform[:, begin:end]
        long = part.shape[1] > 0.5 * sample_rate
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            heard.append(meter.integrated_loudness(part.T) if long else np.nan)
    heard = np.maximum(heard, -70)
    labels = np.array([section.label for section in plan.sections])
    energies = np.array([section.energy for section in plan.sections])
    return {
        "chorus_over_verse": _mean(heard[labels == "chorus"])
        - _mean(heard[labels == "verse"]),
        "energy_rank": float(scipy.stats.spearmanr(energies, heard).statistic)
        if len(set(energies)) > 1 and len(set(heard)) > 1
        else float("nan"),
    }


def join_traces(
    waveform: np.ndarray, sample_rate: int, plan: SongPlan
) -> tuple[np.ndarray, np.ndarray]:
    """Traces that joins could leave, at joins and at other beats of the same song.

    Each place is JOIN_EARLY before a beat, so that the attack on the beat is as far
    from it as from a join.

    Returns:
        float [joins, 3] and [others, 3], decibels: the largest jump of the slope
        within 20 ms against its usual size around; energy above HIGH within 20 ms
        against that around; level within 20 ms against that around.
    """
    mono = np.pad(waveform.mean(axis=0), 4096).astype(np.float64)
    bend = np.abs(np.diff(mono, 2, prepend=0, append=0))
    sos = scipy.signal.butter(6, HIGH, "high", fs=sample_rate, output="sos")
    high = scipy.signal.sosfiltfilt(sos, mono) ** 2
    power = mono**2
    beats = np.arange(1, plan.bars * plan.beats_per_bar)
    places = np.rint((beats * plan.beat_seconds - JOIN_EARLY) * sample_rate) + 4096
    near, far = round(0.020 * sample_rate), round(0.070 * sample_rate)
    rows = []
    for place in places.astype(int):
        inside = slice(place - near, place + near)
        # Before the join only: what follows is the attack.
        around = slice(place - near - far, place - near)
        rows.append(
            [
                _db(bend[inside].max() / max(np.median(bend[around]), 1e-9)),
                _db(high[inside].mean() / max(high[around].mean(), 1e-14)) / 2,
                _db(power[inside].mean() / max(power[around].mean(), 1e-14)) / 2,
            ]
        )
    traces = np.array(rows)
    at_bars = beats % plan.beats_per_bar == 0
    return traces[at_bars], traces[~at_bars]


TRACES = ("jump", "hiss", "dip")


def judge_joins(joins: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """Whether joins can be told from elsewhere, by a two-sample test of each trace.

    Args:
        joins: [joins, 3], from `join_traces`, of one song or many.
        others: [others, 3].

    Returns:
        p of Kolmogorov and Smirnov's test, and how many decibels the median of the
        joins lies above that of the others, for each trace.
    """
    result = {}
    for number, name in enumerate(TRACES):
        a, b = joins[:, number], others[:, number]
        enough = len(a) > 1 and len(b) > 1
        result[f"{name}_p"] = (
            float(scipy.stats.ks_2samp(a, b).pvalue) if enough else float("nan")
        )
        result[f"{name}_db"] = float(np.median(a) - np.median(b)) if enough else 0.0
    return result


def judge_repetition(
    waveform: np.ndarray, sample_rate: int, plan: SongPlan
) -> dict[str, float]:
    """How much of the song one has heard before.

    Returns:
        copied: share of bars that are another bar's sound but for its gain (waveforms
        correlate above 0.98); same_section: the same, within the section alone.
    """
    mono = waveform.mean(axis=0).astype(np.float64)
    bar = plan.beats_per_bar * plan.beat_seconds * sample_rate
    edge, length = round(0.06 * sample_rate), int(bar) - round(0.12 * sample_rate)
    bars = np.stack(
        [mono[(at := round(n * bar) + edge) : at + length] for n in range(plan.bars)]
    )
    bars /= np.maximum(np.linalg.norm(bars, axis=1, keepdims=True), 1e-9)
    alike = np.maximum(np.abs(bars @ bars.T), _shifted(bars))
    np.fill_diagonal(alike, 0)
    section = np.repeat(
        np.arange(len(plan.sections)), [section.bars for section in plan.sections]
    )
    together = section[:, None] == section[None]
    return {
        "copied": float(np.mean(alike.max(axis=1) > 0.98)),
        "same_section": float(np.mean((alike * together).max(axis=1) > 0.98)),
    }


def _shifted(bars: np.ndarray) -> np.ndarray:
    """Likeness with places rounded, and so a few samples, apart."""
    return np.max(
        [np.abs(bars @ np.roll(bars, n, axis=1).T) for n in (-2, -1, 1, 2)], axis=0
    )


def _db(ratio: float) -> float:
    return float(20 * np.log10(max(float(ratio), 1e-9)))


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
