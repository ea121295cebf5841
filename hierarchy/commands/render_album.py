"""render-album: a few words, or an album.toml, to a folder of songs that belong together."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import rich.progress
import typer

from hierarchy import cli
from hierarchy.commands import asking

if TYPE_CHECKING:
    from hierarchy.album.mixing import Doing
    from hierarchy.album.planning import AlbumPlan
    from hierarchy.album.rendering import Album


def render_album(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the album; made if needed.")
    ],
    album: Annotated[
        Path | None,
        typer.Argument(help="An album.toml; options replace what it says."),
    ] = None,
    songs: Annotated[
        int | None, typer.Option(min=1, max=99, help="How many. *Default: 8.*")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the album.")] = None,
    artist: Annotated[str | None, typer.Option(help="Written into the files.")] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(help="A style of the model; give several and songs take turns."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help='Home, such as "A:min": the first song\'s key.')
    ] = None,
    keys: Annotated[
        str | None,
        typer.Option(
            help="The path of keys: there-and-back, fifths, fourths, relatives, thirds "
            'or home; or a list: "C, A:min, F".  \n*Default: there-and-back.*'
        ),
    ] = None,
    arc: Annotated[
        str | None,
        typer.Option(
            help="How energy and tempo run through the album: journey, rise, fall, "
            "arch, valley, waves or level.  \n*Default: journey.*"
        ),
    ] = None,
    tempo: Annotated[
        float | None, typer.Option(help="Beats per minute, the middle of the arc.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="About how long a song is. *Default: 3.*")
    ] = None,
    motifs: Annotated[
        int | None,
        typer.Option(
            min=0, help="How many songs quote an earlier one. *Default: half of them.*"
        ),
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option(
            min=0, max=60, help="Seconds of silence after each song. *Default: 2.*"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="The same seed gives the same album. *Default: another for each "
            "folder.*",
        ),
    ] = None,
    loudness: Annotated[
        float | None,
        typer.Option(
            min=-40, max=-6, help="Of the whole album, in LUFS. *Default: -14.*"
        ),
    ] = None,
    sound: Annotated[
        str | None,
        typer.Option("--format", help="flac, wav or ogg. *Default: flac.*"),
    ] = None,
    model: asking.Model = None,
    sequencer: asking.SequencerFolder = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Processes that work side by side. One uses all cores already; more "
            "need more memory.",
        ),
    ] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(
            help='A running Ray cluster, such as "10.0.0.1:6379", "ray://host:10001" '
            "or auto; macrotime[cluster] has to be installed on its machines."
        ),
    ] = None,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep every song that is there, even if it is asked for differently "
            "now, or its file was changed.",
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Make songs anew that are asked for differently now."
        ),
    ] = False,
    plan_only: Annotated[
        bool,
        typer.Option("--plan-only", help="Say what the album would be; write nothing."),
    ] = False,
    as_json: asking.Json = False,
) -> None:
    """Make an album: songs that share a style and motifs, and follow a path of keys and
    an arc of tempo and energy.

    Everything has a default. The folder gets the songs with their tags and plans, a
    cover, a playlist (.m3u8), a cue sheet, and album.json, which lists what is there.
    One gain is given to all songs, so that soft ones stay soft.

    **Stop it at any time, and run the same command again**: finished songs are kept
    byte for byte, and only what is missing is made. Several runs can share one folder.
    A song that fails does not stop the others; it is named at the end, and the exit
    code is 1.

    Examples:

        render-album --songs 8 --style lofi --title "Paper Lanterns" --out album

        render-album album.toml --out album

        render-album --songs 12 --key A:min --keys thirds --arc waves --seed 7 -o album

        render-album --songs 4 --plan-only --out album

        render-album album/request.toml --title "Another Name" --replace --out album

        render-album album.toml --cluster 10.0.0.1:6379 --out /shared/album

    An album.toml has the same names as these options, and an entry for each song that
    should be special; what is left out is decided for you:

        title = "Paper Lanterns"
        style = ["lofi", "pop"]
        keys = "thirds"
        songs = 8

        [[song]]
        title = "The Quiet Harbour"
        form = "I4 V8 C8 V8 C8 B4 C8 O4"
        tempo = 78

        [[song]]
        plan = "second.plan.json"
    """
    cli.check_folder("--out", out)
    if replace and skip_existing:
        raise cli.RequestError(
            "--replace and --skip-existing contradict; give one of them"
        )
    if cluster and jobs > 1:
        raise cli.RequestError(
            "--jobs with --cluster: the cluster says how many songs it can make at "
            "once; give one of them"
        )
    changes = {
        "songs": songs,
        "title": title,
        "artist": artist,
        "style": style or None,
        "key": key,
        "keys": keys,
        "arc": arc,
        "tempo": tempo,
        "minutes": minutes,
        "motifs": motifs,
        "gap": gap,
        "seed": seed,
        "loudness": loudness,
        "format": sound,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    # What can be refused is refused before anything heavy is imported.
    from hierarchy.album.request import album_request, read_album

    request = (
        read_album(album, **changes)
        if album
        else album_request(changes, source="what is asked")
    )
    if plan_only:
        _show_plan(request, model, sequencer, as_json=as_json)
        return
    with _Board(request.count) as board:
        cli.wake_jax()
        from hierarchy.album.rendering import render_album as render

        made = render(
            request,
            out,
            model=model,
            sequencer=sequencer,
            replace=replace,
            skip_existing=skip_existing,
            jobs=jobs,
            cluster=cluster,
            watch=board,
        )
    _report(made, as_json=as_json)
    if made.failures:
        raise typer.Exit(cli.FAULT)


class _Board:
    """How far the album is, and each song that is being made.

    Bars where somebody watches; lines in a log.
    """

    def __init__(self, songs: int):
        self._songs, self._mixed, self._started = songs, set(), time.monotonic()
        self._bars: rich.progress.Progress | None = None
        self._tasks: dict[int | None, rich.progress.TaskID] = {}
        self._said: dict[int | None, tuple[str, int]] = {}

    def __enter__(self) -> Self:
        if cli.console.is_terminal:
            self._bars = rich.progress.Progress(
                rich.progress.SpinnerColumn(),
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.TaskProgressColumn(),
                rich.progress.TimeElapsedColumn(),
                console=cli.console,
            )
            self._bars.start()
            self._all = self._bars.add_task("Starting", total=None)
        else:
            cli.say("Starting ...")
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, doing: Doing) -> None:
        """Take note of what is being done."""
        if doing.mixed is not None:
            self._mixed.add(doing.mixed)
        if self._bars is None:
            self._say(doing)
        else:
            self._draw(doing)

    def _draw(self, doing: Doing) -> None:
        if doing.mixed is not None:
            if doing.song in self._tasks:
                self._bars.remove_task(self._tasks.pop(doing.song))
            self._bars.update(
                self._all,
                description=f"Songs mixed, of {self._songs}",
                completed=len(self._mixed),
                total=self._songs,
            )
            return
        if doing.song is None:
            done = doing.done if doing.total > 1 else None
            self._bars.update(
                self._all,
                description=doing.what,
                completed=done or 0,
                total=doing.total if doing.total > 1 else None,
            )
            return
        if doing.song not in self._tasks:
            self._tasks[doing.song] = self._bars.add_task("", total=1)
        self._bars.update(
            self._tasks[doing.song],
            description=f"Song {doing.song}: {doing.what}",
            completed=doing.done,
            total=max(doing.total, 1),
        )

    def _say(self, doing: Doing) -> None:
        passed = f"{time.monotonic() - self._started:.0f} s since the start"
        if doing.mixed is not None:
            cli.say(
                f"Song {doing.mixed}: {doing.what.lower()}; {len(self._mixed)} of "
                f"{self._songs}, {passed}"
            )
            return
        # A line for all that is new, and for each quarter of what takes long.
        quarter = 4 * doing.done // max(doing.total, 1)
        if self._said.get(doing.song) == (doing.what, quarter):
            return
        self._said[doing.song] = doing.what, quarter
        song = "" if doing.song is None else f"Song {doing.song}: "
        share = f", {100 * doing.done // max(doing.total, 1)}%" if doing.done else ""
        cli.say(f"{song}{doing.what}{share}, {passed}")


def _show_plan(request, model, sequencer, *, as_json: bool) -> None:
    from hierarchy.album.planning import plan_album
    from hierarchy.micro.grains import GrainModel
    from structure.sequencer import Sequencer

    request = request.decided(
        seed=cli.chosen_seed(request.seed), date=time.strftime("%Y-%m-%d")
    )
    with cli.stages("Starting") as stage:
        grains = GrainModel.read(model)
        composer = Sequencer.read(sequencer or cli.PRETRAINED / "sequencer")
        plan = plan_album(request, grains, composer, progress=stage("Composing"))
    cli.answer(
        plan.model_dump(mode="json"),
        as_json=as_json,
        text=f"{plan.title}, seed {request.seed}\n" + _listed(plan),
    )
    if plan.unplanned:
        raise typer.Exit(cli.FAULT)


def _report(made: Album, *, as_json: bool) -> None:
    manifest = made.manifest
    lines = [f"{made.folder}: {made.plan.title}, seed {made.plan.request.seed}"]
    lines.append(_listed(made.plan, manifest.missing if manifest else made.plan.tracks))
    if manifest and manifest.loudness is not None:
        lines.append(
            f"{manifest.loudness:.1f} LUFS, {manifest.true_peak:.1f} dBTP at most; "
            f"{manifest.playlist}, {manifest.cue}, {manifest.cover}, album.json"
        )
    cli.answer(
        {
            "folder": str(made.folder),
            "manifest": str(made.folder / "album.json") if manifest else None,
            "title": made.plan.title,
            "seed": made.plan.request.seed,
            "complete": bool(manifest and manifest.complete),
            "loudness": manifest.loudness if manifest else None,
            "true_peak": manifest.true_peak if manifest else None,
            "songs": [str(made.folder / song.file) for song in manifest.songs]
            if manifest
            else [],
            "kept": list(made.kept),
            "failures": [
                {"number": failure.number, "reason": failure.reason}
                for failure in made.failures
            ],
        },
        as_json=as_json,
        text="\n".join(lines),
    )
    songs = [*made.plan.tracks, *made.plan.unplanned]
    titles = {song.number: song.title for song in songs}
    for failure in made.failures:
        if failure.details:
            cli.say(failure.details.rstrip())
        cli.console.print(
            f"render-album: song {failure.number}, {titles[failure.number]}: "
            f"{failure.reason}",
            markup=False,
            style="red",
        )
    if made.failures:
        cli.say("Run the same command again to make what is missing.")


def _listed(plan: AlbumPlan, missing=()) -> str:
    """A line a song: number, title, length, key, tempo, form, and what it quotes."""
    absent = {song.number for song in missing}
    widest = max(len(song.title) for song in [*plan.tracks, *plan.unplanned])
    lines = {
        song.number: f"{song.number:3d}  {song.title:{widest}s}  MISSING: {song.reason}"
        for song in plan.unplanned
    }
    for track in plan.tracks:
        song, whole = track.plan, round(track.plan.seconds)
        letters = "".join(section.letter for section in song.sections)
        quotes = "".join(f"  quotes {quote.song}" for quote in track.quotes)
        gone = "  MISSING" if track.number in absent else ""
        lines[track.number] = (
            f"{track.number:3d}  {track.title:{widest}s}  {whole // 60}:{whole % 60:02d}"
            f"  {song.key:7s} {song.tempo:5.4g} BPM  {song.style}  {letters}"
            f"{quotes}{gone}"
        )
    return "\n".join(lines[number] for number in sorted(lines))


main = cli.command(render_album)
