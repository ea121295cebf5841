"""render-song: a form, or a plan, to a finished song."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hierarchy import cli
from hierarchy.commands import asking

if TYPE_CHECKING:
    from structure.plan import SongPlan

SOUND = (".wav", ".flac", ".ogg")
EXPORTS = ("stems", "session", "markers", "midi", "grains", "jams")


def render_song(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The song: a .wav, .flac or .ogg file.")
    ],
    form: asking.Form = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="Render this plan (JSON) instead of composing one."),
    ] = None,
    style: asking.Style = None,
    key: asking.Key = None,
    mode: asking.Mode = None,
    tempo: asking.Tempo = None,
    minutes: asking.Minutes = None,
    bars: asking.Bars = None,
    meter: asking.Meter = None,
    chords: asking.Chords = None,
    title: asking.Title = None,
    seed: asking.Seed = None,
    grain_seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Other samples of the same plan: chords and gestures stay.  \n"
            "*Default: the seed.*",
        ),
    ] = None,
    model: asking.Model = None,
    sequencer: asking.SequencerFolder = None,
    picture: asking.Picture = None,
    arrangement: Annotated[
        Path | None,
        typer.Option(
            help="Draw what it is put together from, over time: energy, chords, layers "
            "with their gains, grains and where they return; a .png or .svg file."
        ),
    ] = None,
    freedom: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="0 keeps to what was heard, 1 invents.  \n*Default: the plan's, or 0.*",
        ),
    ] = None,
    chorus_variation: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="How much a section differs when it returns: 0 is an exact return, as loud "
            "as the first time, 1 a new take of the same chords and gestures.  \n"
            "*Default: the plan's, or the same take at the energy of its place.*",
        ),
    ] = None,
    max_similarity: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=1,
            help="Refuse copies: a bar more like a moment of the model's recordings is "
            "sampled again, more freely. 1 is the same sound at any gain, 0.95 passes "
            "for a copy, other music lies near 0.8. The plan tells each bar's nearest "
            "moment.  \n*Default: the plan's, or none refused.*",
        ),
    ] = None,
    loudness: Annotated[
        float | None,
        typer.Option(
            min=-40,
            max=-6,
            help="Integrated loudness, in LUFS.  \n*Default: the plan's, or -14.*",
        ),
    ] = None,
    redo_sections: Annotated[
        list[str] | None,
        typer.Option(
            "--redo",
            metavar="SECTION",
            help="With --plan: play one section again and leave all else as it was. "
            '"chorus 2" is the second chorus, "A 2" the second section of letter A, '
            '"3" the third of all. With --seed N it is take N. May be given again.',
        ),
    ] = None,
    other_gestures: Annotated[
        bool,
        typer.Option(
            "--other-gestures",
            help="With --redo: another melody and rhythm over the same chords too.",
        ),
    ] = False,
    grains: Annotated[
        Path | None,
        typer.Option(
            help="A folder that keeps the sampled grains: what is in it is not sampled "
            "again, so that a redo takes seconds. Songs may share it."
        ),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help="Write the song as material too, into the folder `OUT.session`: any of "
            "stems (by layer and by section, they add up to the mix), session (for "
            "Reaper: grains as items, sections as regions), markers (in the .wav and as "
            "a .cue sheet), midi (chords, bass, melody, sections, tempo), grains (a "
            "sample library with an SFZ instrument), jams (the structure); separated by "
            "commas, or `all`.",
        ),
    ] = None,
    bits: Annotated[
        int, typer.Option(help="16 or 24, with dither; an .ogg file has none.")
    ] = 24,
    artist: Annotated[str | None, typer.Option(help="Written into the file.")] = None,
    album: Annotated[str | None, typer.Option(help="Written into the file.")] = None,
    track: Annotated[
        int | None, typer.Option(min=1, help="Its number on the album.")
    ] = None,
    date: Annotated[str | None, typer.Option(help='Such as "2026-11-21".')] = None,
    genre: Annotated[str | None, typer.Option(help="Written into the file.")] = None,
    comment: Annotated[str | None, typer.Option(help="Written into the file.")] = None,
    as_json: asking.Json = False,
) -> None:
    """Make a whole song and write it as a sound file.

    The plan of the song is written beside it: `song.wav` comes with
    `song.plan.json`, which can be edited and rendered again with `--plan`. The
    same plan, model and seed give the same file, to the last bit.

    With `--redo` one section is played again. Before mastering all other samples
    stay the same bits, but for some hundredths of a second at its two borders, where
    neighbours are faded into one another; the gain of the mastering stays too. Give
    the same `--grains` folder to both renderings, and only what is new is sampled.

    Examples:

        render-song --form verse-chorus --out song.wav

        render-song --form "I4 V8 C8 V8 C8 B4 C8 O4" --key A:min --tempo 84 -o song.flac

        render-song --form aaba --style lofi --seed 7 --picture song.png -o song.ogg

        render-song --plan song.plan.json --chorus-variation 0.3 --out again.wav

        render-song --plan song.plan.json --redo "chorus 2" --seed 4 --out better.wav

        render-song --form aaba --export stems,session,midi --artist Me -o song.wav
    """
    cli.check_file("--out", out, SOUND)
    if picture:
        cli.check_file("--picture", picture, asking.PICTURES)
    if arrangement:
        cli.check_file("--arrangement", arrangement, asking.PICTURES)
    asked = asking.Asked(form, key, tempo, minutes, meter, bars, chords, mode)
    if plan and (given := asked.names()):
        raise cli.RequestError(
            f"{given} with --plan: the plan says that already; edit {plan} or leave "
            f"out {given}"
        )
    if redo_sections and not plan:
        raise cli.RequestError("--redo needs --plan: the plan of the song to change")
    if other_gestures and not redo_sections:
        raise cli.RequestError(
            "--other-gestures needs --redo: the section to play again"
        )
    if grains:
        cli.check_folder("--grains", grains)
    if bits not in (16, 24):
        raise cli.RequestError(f"--bits {bits}; songs are written with 16 or 24")
    if date is not None and not re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", date):
        raise cli.RequestError(f'--date {date}; write it as "2026" or "2026-11-21"')
    kinds = _kinds(export, out)
    session = out.with_name(f"{out.stem}.session")
    if kinds:
        cli.check_folder("--export", session)
    plan_out = out.with_name(f"{out.stem}.plan.json")
    tags = {
        "artist": artist,
        "album": album,
        "tracknumber": track,
        "date": date,
        "genre": genre,
        "comment": comment,
    }
    tags = {name: str(text) for name, text in tags.items() if text is not None}

    with cli.stages("Starting") as stage:
        # What can be refused is refused before anything heavy is imported.
        if plan:
            song_plan = _changed(
                plan,
                title=title,
                style=style,
                seed=None if redo_sections else seed,
                grain_seed=grain_seed,
            )
            for name in redo_sections or ():
                song_plan.find(name)
        else:
            # Whether a return may have other chords is for the sequencer to say, unless
            # it is said here how like the first time it shall be.
            variation = None if chorus_variation is None else 0.0
            request = asked.request(style=style, title=title, variation=variation)
            seed = cli.chosen_seed(seed)
        cli.wake_jax()
        from hierarchy.macro.choosing import natural_tempo
        from hierarchy.macro.grain_store import GrainStore, grains_beside
        from hierarchy.macro.mastering import LOSSY_ROOM, TRUE_PEAK
        from hierarchy.macro.rendering import redo
        from hierarchy.macro.rendering import render_song as render
        from hierarchy.micro.grains import GrainModel
        from structure.files import whole_file

        for name in redo_sections or ():
            song_plan = redo(song_plan, name, seed=seed, gestures=other_gestures)
        grain_model = GrainModel.read(model)
        if not plan:
            stage("Composing")
            style, book = grain_model.book(style)
            if tempo is None:
                # Music sounds best about as fast as it was played.
                tempo = natural_tempo(book, seed, meter=meter or "4/4")
            request = dataclasses.replace(request, style=style, tempo=tempo)
            song_plan = asking.compose(request, sequencer, seed=seed)
            song_plan = song_plan.model_copy(update={"grain_seed": grain_seed})
        lossy = out.suffix.lower() == ".ogg"
        with contextlib.ExitStack() as kept:
            if grains:
                out.parent.mkdir(parents=True, exist_ok=True)
                known = GrainStore(grains)
            else:
                # A long song's grains are not held in memory.
                known = kept.enter_context(grains_beside(out))
            song = render(
                song_plan,
                grain_model,
                freedom=freedom,
                chorus_variation=chorus_variation,
                max_similarity=max_similarity,
                loudness=loudness,
                true_peak=TRUE_PEAK - (LOSSY_ROOM if lossy else 0),
                known=known,
                folder=out.parent,
                progress=stage("Making grains"),
            )

            writing = stage("Writing")
            # All or nothing: each file takes its name when every one is complete.
            with contextlib.ExitStack() as files:
                sound = files.enter_context(whole_file(out))
                beside = files.enter_context(whole_file(plan_out))
                song.write(sound, bits=bits, tags=tags, progress=writing)
                if "markers" in kinds and out.suffix.lower() == ".wav":
                    from hierarchy.export.markers import mark_sections

                    mark_sections(sound, song.plan, song.sample_rate)
                song.plan.write(beside)
                if picture:
                    from hierarchy.export.pictures import draw_song

                    drawn = files.enter_context(whole_file(picture))
                    draw_song(drawn, song.waveform, song.sample_rate, song.plan)
                if arrangement:
                    from hierarchy.export.arrangement import draw_arrangement

                    draw_arrangement(files.enter_context(whole_file(arrangement)), song)
            exported = []
            if kinds:
                from hierarchy.export import export_song

                exported = export_song(
                    song,
                    session,
                    kinds=kinds,
                    master=out,
                    tags=tags | {"title": song.plan.title},
                    progress=stage("Exporting"),
                )

    cli.answer(
        {
            "song": str(out),
            "plan": str(plan_out),
            "picture": str(picture) if picture else None,
            "arrangement": str(arrangement) if arrangement else None,
            "exported": [str(file) for file in exported],
            "seconds": round(song.seconds, 3),
            "seed": song.plan.seed,
            "loudness": round(song.master.loudness, 2),
            "sections": [
                {
                    "name": name,
                    "start": round(start, 3),
                    "label": section.label,
                    "letter": section.letter,
                    "take": section.take,
                }
                for name, start, section in zip(
                    song.plan.names(),
                    song.plan.starts(),
                    song.plan.sections,
                    strict=False,
                )
            ],
        },
        as_json=as_json,
        text=f"{out}: {asking.described(song.plan)}\n{plan_out}: its plan"
        + (f"\n{session}: {', '.join(kinds)}" if kinds else ""),
    )


def _kinds(export: str | None, out: Path) -> list[str]:
    """The kinds of export that are asked for.

    Raises:
        RequestError: for one that there is not, or that needs what is not there.
    """
    asked = [kind.strip() for kind in (export or "").split(",") if kind.strip()]
    everything = "all" in asked
    if unknown := [kind for kind in asked if kind not in (*EXPORTS, "all")]:
        raise cli.RequestError(
            f"--export {', '.join(unknown)}; there are {', '.join(EXPORTS)}, and all"
        )
    kinds = list(EXPORTS) if everything else list(dict.fromkeys(asked))
    if "midi" in kinds and importlib.util.find_spec("mido") is None:
        if not everything:
            raise cli.RequestError(
                "--export midi needs the package mido: pip install 'macrotime[midi]'"
            )
        kinds.remove("midi")
        cli.say("without MIDI, which needs mido: pip install 'macrotime[midi]'")
    if "markers" in kinds and out.suffix.lower() != ".wav":
        cli.say(f"{out.suffix} files hold no markers; they are in the .cue sheet alone")
    return kinds


def _changed(plan: Path, **changes: Any) -> SongPlan:
    """The plan in a file, with what else was asked."""
    from structure.plan import SongPlan

    changes = {k: v for k, v in changes.items() if v is not None}
    return SongPlan.read(plan).model_copy(update=changes)


main = cli.command(render_song)
