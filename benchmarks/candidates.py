"""What is won by drawing more grains than needed, and by choosing those that join best?

    python benchmarks/candidates.py --songs 4

Bars of songs that are told no sinusoid (`--freedom 1`), several candidates each, as
`hierarchy.micro.candidates` draws them. A way of choosing is a row: the draft, and of
those that were mended the one that answers best, which is kept, and the chain of bars that
answers best less a price for each decibel by which neighbours differ where they overlap
(found by dynamic programming, as in unit selection: Hunt and Black, ICASSP 1996).

Columns: chroma and bright: how like what was asked (see `candidates`); join: RMS
difference of 24 mel bands of two grains in their overlap, dB. The last row looks at joins
alone: less than that no choice can reach.
"""

from __future__ import annotations

import itertools

import librosa
import numpy as np
from command import parsed, parser_of, takes_model, takes_report, write_report

from hierarchy.macro.assembly import Placement
from hierarchy.macro.choosing import choose_gestures, natural_tempo
from hierarchy.macro.performing import perform
from hierarchy.macro.rendering import compose_song, told_at
from hierarchy.micro.candidates import Candidate, best_grains
from hierarchy.micro.grains import Grain, GrainModel

FORM = "V8 C8"
BANDS, RANGE = 24, 60.0  # mel bands; dB below the loudest that count
PRICES = (0.0, 0.01, 0.03, 0.1, np.inf)  # of a decibel at a join, in likeness


def spectrum(sound: np.ndarray, rate: int) -> np.ndarray:
    """Mel bands of a short sound, [2, samples], dB."""
    mono = sound.mean(axis=0) * np.hanning(sound.shape[1])
    power = np.square(np.abs(np.fft.rfft(mono, 4096)))
    basis = librosa.filters.mel(sr=rate, n_fft=4096, n_mels=BANDS, fmin=60)
    return librosa.power_to_db(basis @ power, amin=1e-9, top_db=RANGE)


def mismatch(
    left: Grain, right: Grain, before: Placement, after: Placement, rate: int
) -> float:
    """How two grains differ where they overlap, dB."""
    reach = min(before.lead_out, after.lead_in)
    end = left.waveform.shape[1] - before.lead_out
    one = left.waveform[:, end - reach : end + reach]
    two = right.waveform[:, after.lead_in - reach : after.lead_in + reach]
    off = spectrum(one, rate) - spectrum(two, rate)
    return float(np.sqrt(np.square(off).mean()))


def best_chain(worth: np.ndarray, joins: np.ndarray, price: float) -> list[int]:
    """Which candidate of each bar; worth [bars, count], joins [bars - 1, count, count]."""
    if np.isinf(price):
        worth, price = 0 * worth, 1.0
    total, came = worth[0], []
    for here, join in zip(worth[1:], joins, strict=True):
        through = total[:, None] - price * join
        came.append(through.argmax(axis=0))
        total = through.max(axis=0) + here
    chain = [int(total.argmax())]
    for back in reversed(came):
        chain.append(int(back[chain[-1]]))
    return chain[::-1]


def of_song(model: GrainModel, style: str, seed: int) -> dict[str, list]:
    """Rows of figures (chroma, bright, join) by way of choosing."""
    book, rate = model.books[style], model.config.sample_rate
    tempo = natural_tempo(book, seed)
    plan = compose_song(form=FORM, style=style, seed=seed, tempo=tempo)
    plan = choose_gestures(plan, book, seed=seed)
    peaks, temperature = told_at(1.0, model, style)
    number = model.config.styles.index(style)
    made = perform(
        plan, book, style=number, seed=seed, sample_rate=rate, peaks=peaks
    )  # fmt: skip
    rows: list[list[Candidate]] = [[] for _ in made.requests]
    best_grains(
        model,
        made.requests,
        temperature=temperature,
        listener=lambda place, candidate: rows[place].append(candidate),
    )
    places = sorted(made.placements, key=lambda place: place.start)
    heard = [rows[place.grain] for place in places]
    joins = np.array(
        [
            [[mismatch(a.grain, b.grain, *pair, rate) for b in right] for a in left]
            for (left, right), pair in zip(
                itertools.pairwise(heard), itertools.pairwise(places), strict=True
            )
        ]
    )
    worth = np.array([[one.worth for one in row] for row in heard])
    ways = {"the draft": [0] * len(heard)}
    for price in PRICES:
        chain = best_chain(worth[:, 1:], joins[:, 1:, 1:], price)
        ways[f"a decibel costs {price:g}"] = [1 + choice for choice in chain]
    found = {}
    for name, chain in ways.items():
        kept = [row[choice] for row, choice in zip(heard, chain, strict=True)]
        pairs = enumerate(itertools.pairwise(chain))
        found[name] = [
            np.mean([one.in_chroma for one in kept]),
            np.mean([one.in_brightness for one in kept]),
            np.mean([joins[place][pair] for place, pair in pairs]),
        ]
    return found


def main() -> None:
    """Print what choosing wins."""
    parser = parser_of(__doc__)
    parser.add_argument("--songs", type=int, default=4, help="of each style")
    takes_model(parser)
    takes_report(parser)
    asked = parsed(parser)
    model = GrainModel.read(asked.model)
    report: dict[str, dict] = {}
    print(f"{'':34}{'chroma':>8}{'bright':>8}{'join':>8}")
    for style in model.styles:
        songs = [of_song(model, style, seed) for seed in range(asked.songs)]
        for name in songs[0]:
            mean = np.mean([song[name] for song in songs], axis=0)
            report.setdefault(style, {})[name] = mean.tolist()
            cells = "".join(f"{value:8.3f}" for value in mean)
            print(f"{style + ', ' + name:34}{cells}", flush=True)
    write_report(report, asked.json)


if __name__ == "__main__":
    main()
