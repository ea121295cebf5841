"""A song taken apart again: one file a layer and one a section, which add up to the mix.

Stems are the sound before mastering, in 32-bit floating point, which has no highest
level: their sum is the mix to the rounding of a few additions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hierarchy.export.riff import add_chunks, place_chunk
from hierarchy.macro.layers import LAYERS
from hierarchy.macro.mixing import Part, add_up, layer_blocks, mix_blocks, parts
from hierarchy.macro.rendering import SOFTWARE, Song
from hierarchy.macro.tape import BLOCK_SECONDS, Tape
from hierarchy.material.audio import write_blocks
from structure.files import whole_folder


def write_stems(
    song: Song,
    folder: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write mix.wav, layers/*.wav, sections/*.wav and stems.json.

    A layer's file is as long as the song. A section's file is as long as it sounds,
    with the fades to its neighbours; the sample on which it begins is in stems.json and
    in the file itself, where editors look for it (chunk `bext`).

    Args:
        song: rendered.
        folder: made, or replaced if it is there.
        progress: called with (passes over the song done, in all).

    Returns:
        The files that were written.
    """
    score, rate = song.score, song.sample_rate

    def write(path: Path, pieces: Iterator[np.ndarray], samples: int, name: str):
        write_blocks(
            path,
            pieces,
            rate,
            channels=2,
            samples=samples,
            subtype="FLOAT",
            tags={"title": f"{song.plan.title}: {name}", "software": SOFTWARE},
        )

    def report(done: int) -> None:
        if progress:
            progress(done, 3)

    with whole_folder(folder) as draft:
        write(draft / "mix.wav", mix_blocks(score), score.length, "mix")
        report(1)

        tape = Tape(2 * len(LAYERS))
        for block in layer_blocks(score):
            tape.append(block.reshape(2 * len(LAYERS), -1))
        layers = []
        for number, name in enumerate(LAYERS):
            blocks = tape.blocks(round(BLOCK_SECONDS * rate))
            pieces = (block[2 * number : 2 * number + 2] for block in blocks)
            file = f"layers/{name}.wav"
            write(draft / file, pieces, score.length, name)
            layers.append({"file": file, "layer": name})
        report(2)

        sections = []
        groups = itertools.groupby(parts(score), key=lambda part: part.section)
        for number, mine in groups:
            name = song.plan.names()[number]
            file = f"sections/{number + 1:02d} {name}.wav"
            first = next(mine)
            start = first.sounding.begin
            heard = _Heard(itertools.chain([first], mine))
            pieces = add_up(heard, start=start)
            write(draft / file, pieces, score.length - start, name)
            add_chunks(draft / file, [place_chunk(start, description=name)])
            sections.append(
                {
                    "file": file,
                    "section": name,
                    "start": start,
                    "samples": heard.end - start,
                }
            )
        about = {
            "title": song.plan.title,
            "sample_rate": rate,
            "samples": score.length,
            "mix": "mix.wav",
            "layers": layers,
            "sections": sections,
        }
        text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
        (draft / "stems.json").write_text(text, encoding="utf-8")
        report(3)
        files = sorted(p.relative_to(draft) for p in draft.rglob("*") if p.is_file())
    return [Path(folder) / file for file in files]


class _Heard:
    """What parts give to the mix, and where the last of them ends."""

    def __init__(self, mine: Iterator[Part]):
        self._mine, self.end = mine, 0

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for part in self._mine:
            self.end = max(self.end, part.sounding.end)
            yield part.sounding.begin, part.layers.sum(axis=0)
