"""A song as material for other programs: all kinds of export in one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hierarchy.export.bank import write_bank
from hierarchy.export.markers import mark_sections, write_cue_sheet
from hierarchy.export.midi import write_midi
from hierarchy.export.reaper import write_session
from hierarchy.export.stems import write_stems
from hierarchy.macro.rendering import Song
from structure.errors import RequestError
from structure.files import whole_file
from structure.jams import write_jams

KINDS = ("stems", "session", "markers", "midi", "grains", "jams")
"""What can be exported."""


def export_song(
    song: Song,
    folder: str | Path,
    *,
    kinds: Sequence[str] = KINDS,
    master: str | Path | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a song as stems, a session, markers, MIDI, grains and JAMS.

    Each kind is whole or not there: `stems/` (see `stems`), `session/song.rpp` for
    Reaper with its media, `song.wav` with markers and `song.cue`, `song.mid`, `grains/`
    with an SFZ instrument, `song.jams`.

    Args:
        song: rendered.
        folder: made if it is not there; what else is in it stays.
        kinds: of `KINDS`.
        master: the finished song's file, if it is written already; cue sheet and session
            then speak of that, and no song.wav is written. Markers are not put into it.
        tags: of the song, see `hierarchy.material.audio.TAGS`.
        progress: called with (done, in all), in thousandths of a kind.

    Returns:
        The files that were written.

    Raises:
        RequestError: if there is no such kind, or what it needs is not installed.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise RequestError(
            f"no export {', '.join(unknown)}; there are {', '.join(KINDS)}"
        )
    folder, tags = Path(folder), dict(tags or {})
    wanted = [kind for kind in KINDS if kind in kinds]
    files: list[Path] = []
    if master is None and {"markers", "session"} & set(wanted):
        master = folder / "song.wav"
        with whole_file(master) as draft:
            song.write(draft, tags=tags)
            if "markers" in wanted:
                mark_sections(draft, song.plan, song.sample_rate)
        files.append(master)

    for number, kind in enumerate(wanted):

        def report(done: int, total: int, *, number=number) -> None:
            if progress:
                part = 1000 * done // max(total, 1)
                progress(1000 * number + part, 1000 * len(wanted))

        match kind:
            case "stems":
                files += write_stems(song, folder / "stems", progress=report)
            case "session":
                files += write_session(
                    song, folder / "session", master=master, progress=report
                )
            case "grains":
                files += write_bank(song, folder / "grains", progress=report)
            case "markers":
                files.append(folder / "song.cue")
                write_cue_sheet(files[-1], song.plan, master, tags=tags)
            case "midi":
                files.append(folder / "song.mid")
                write_midi(files[-1], song.plan)
            case "jams":
                files.append(folder / "song.jams")
                write_jams(
                    files[-1],
                    song.plan,
                    title=tags.get("title"),
                    artist=tags.get("artist"),
                    seconds=song.seconds,
                )
        report(1, 1)
    return files
