"""album.toml: what is asked of an album, checked; whatever is left out has a default.

title = "Paper Lanterns"
artist = "Somebody"
songs = 8
style = "lofi"              # or several: ["lofi", "pop"], in turn
key = "A:min"               # where the path of keys begins
keys = "there-and-back"     # or fifths, fourths, relatives, thirds, home, or a list
arc = "journey"             # or rise, fall, arch, valley, waves, level
tempo = 84                  # the middle of the arc
minutes = 3
gap = 2.0
loudness = -14.0
seed = 7

[[song]]                    # the first song; what it leaves out is the album's
title = "The Quiet Harbour"
form = "verse-chorus-bridge"

[[song]]                    # the second one, from a plan of one's own
plan = "second.plan.json"
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from hierarchy.album.arcs import ARCS
from hierarchy.album.keys import PATHS
from structure.errors import RequestError
from structure.forms import parse_form
from structure.harmony import Key
from structure.plan import FASTEST, SLOWEST, Meter

MOST_SONGS = 99
"""A track number has two digits."""

FORMS = (
    "verse-chorus",
    "verse-chorus-bridge",
    "aaba",
    "intro verse chorus verse chorus solo chorus outro",
)
"""Forms that an album takes in turn, no two neighbours alike, unless it names others."""

Format = Literal["flac", "wav", "ogg"]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


def _readable_key(key: str | None) -> str | None:
    return None if key is None else str(Key.parse(key))


def _readable_form(form: str | None) -> str | None:
    if form is not None:
        parse_form(form)
    return form


class SongEntry(_Strict):
    """What is asked of one song; what is None is the album's to decide.

    Attributes:
        title: its name.
        plan: a plan (JSON) to use as it is, instead of composing one.
        form, key, tempo, minutes, meter, style, seed: as for a single song.
        energy: -1 (calmer) to 1 (stronger than the album's middle), instead of what
            the arc says.
        quotes: whether it may quote an earlier song.
        gap: seconds of silence after it.
    """

    title: str | None = pydantic.Field(default=None, min_length=1)
    plan: Path | None = None
    form: str | None = None
    key: str | None = None
    tempo: float | None = pydantic.Field(default=None, ge=SLOWEST, le=FASTEST)
    minutes: float | None = pydantic.Field(default=None, gt=0, le=120)
    meter: Meter | None = None
    style: str | None = None
    seed: int | None = pydantic.Field(default=None, ge=0)
    energy: float | None = pydantic.Field(default=None, ge=-1, le=1)
    quotes: bool = True
    gap: float | None = pydantic.Field(default=None, ge=0, le=60)

    _key = pydantic.field_validator("key")(_readable_key)
    _form = pydantic.field_validator("form")(_readable_form)

    @pydantic.model_validator(mode="after")
    def _a_plan_says_the_rest(self):
        said = ("form", "key", "tempo", "minutes", "meter", "energy")
        both = [name for name in said if getattr(self, name) is not None]
        if self.plan and both:
            raise ValueError(
                f"{', '.join(both)} beside a plan, which says that already; leave out "
                "one of them"
            )
        return self


class AlbumRequest(_Strict):
    """What is asked of an album.

    Attributes:
        title: its name; one is made up if None.
        artist, genre: written into the files.
        date: such as "2026" or "2026-11-21"; today's if None.
        seed: the same seed, the same album; another each time if None.
        songs: how many; as many as `song` has entries, or 8.
        style: name or names of the model's styles; songs take them in turn.
        key: home, where the path of keys begins; the style's mode decides if None.
        keys: a named path (see `hierarchy.album.keys`) or a list, taken in turn.
        arc: a named arc of energy and tempo (see `hierarchy.album.arcs`).
        tempo: the middle of the arc, in beats a minute; the style's own if None.
        tempo_range: how far the arc goes from there, as a share of it.
        energy_range: by how much the arc raises and lowers a song's energy.
        minutes: about how long a song is; songs differ by up to a seventh.
        meter: such as "4/4".
        forms: taken in turn, in an order that the seed decides.
        motifs: how many songs quote an earlier one; about half of them if None.
        gap: seconds of silence after each song.
        loudness: integrated, of the whole album, in LUFS.
        true_peak: highest peak of any song, in dBTP.
        freedom, chorus_variation, max_similarity: as for a single song.
        format: flac, wav or ogg.
        bits: 16 or 24, with dither; an .ogg file has none.
        song: entries for the songs in their order.
    """

    title: str | None = pydantic.Field(default=None, min_length=1)
    artist: str = "macrotime"
    genre: str | None = None
    date: str | None = pydantic.Field(default=None, pattern=r"^\d{4}(-\d\d(-\d\d)?)?$")
    seed: int | None = pydantic.Field(default=None, ge=0)
    songs: int | None = pydantic.Field(default=None, ge=1, le=MOST_SONGS)
    style: tuple[str, ...] | None = None
    key: str | None = None
    keys: tuple[str, ...] | str = "there-and-back"
    arc: str = "journey"
    tempo: float | None = pydantic.Field(default=None, ge=SLOWEST, le=FASTEST)
    tempo_range: float = pydantic.Field(default=0.12, ge=0, le=0.5)
    energy_range: float = pydantic.Field(default=0.2, ge=0, le=0.5)
    minutes: float = pydantic.Field(default=3.0, gt=0, le=120)
    meter: Meter = "4/4"
    forms: tuple[str, ...] = pydantic.Field(default=FORMS, min_length=1)
    motifs: int | None = pydantic.Field(default=None, ge=0, le=MOST_SONGS)
    gap: float = pydantic.Field(default=2.0, ge=0, le=60)
    loudness: float = pydantic.Field(default=-14.0, ge=-40, le=-6)
    true_peak: float = pydantic.Field(default=-1.0, ge=-20, le=0)
    freedom: float = pydantic.Field(default=0.0, ge=0, le=1)
    chorus_variation: float | None = pydantic.Field(default=None, ge=0, le=1)
    max_similarity: float | None = pydantic.Field(default=None, ge=0.5, le=1)
    format: Format = "flac"
    bits: Literal[16, 24] = 24
    song: tuple[SongEntry, ...] = pydantic.Field(default=(), max_length=MOST_SONGS)

    _key = pydantic.field_validator("key")(_readable_key)

    @pydantic.field_validator("style", "forms", mode="before")
    @classmethod
    def _one_is_a_row_of_one(cls, names):
        return (names,) if isinstance(names, str) else names

    @pydantic.field_validator("keys")
    @classmethod
    def _keys_lead_somewhere(cls, keys):
        if isinstance(keys, str):
            if keys in PATHS:
                return keys
            keys = tuple(key.strip() for key in keys.split(","))
            if len(keys) == 1:
                raise ValueError(
                    f"{keys[0]!r}{_perhaps(keys[0], PATHS)}; it takes "
                    f"{', '.join(PATHS)}, or a list of keys"
                )
        return tuple(str(Key.parse(key)) for key in keys)

    @pydantic.field_validator("arc")
    @classmethod
    def _the_arc_is_known(cls, arc):
        if arc not in ARCS:
            raise ValueError(
                f"{arc!r}{_perhaps(arc, ARCS)}; it takes {', '.join(ARCS)}"
            )
        return arc

    @pydantic.field_validator("forms")
    @classmethod
    def _forms_can_be_read(cls, forms):
        return tuple(_readable_form(form) for form in forms)

    @pydantic.model_validator(mode="after")
    def _as_many_songs_as_entries(self):
        if self.songs is not None and self.songs < len(self.song):
            raise ValueError(
                f"songs = {self.songs}, but {len(self.song)} [[song]] entries; leave "
                "out songs, or make it as many or more"
            )
        return self

    @property
    def count(self) -> int:
        """How many songs there are to be."""
        return self.songs or len(self.song) or 8

    def entry(self, number: int) -> SongEntry:
        """What is asked of song `number`, from 0."""
        return self.song[number] if number < len(self.song) else SongEntry()

    def decided(self, *, seed: int, date: str) -> AlbumRequest:
        """The same, with what chance and the calendar decide written down."""
        seed = seed if self.seed is None else self.seed
        return self.model_copy(update={"seed": seed, "date": self.date or date})

    def to_toml(self) -> str:
        """The request as album.toml, which gives the same album again."""
        said = self.model_dump(mode="json", exclude_none=True, exclude={"song"})
        lines = [f"{key} = {_toml(value)}" for key, value in said.items()]
        for entry in self.song:
            lines += ["", "[[song]]"]
            said = entry.model_dump(
                mode="json", exclude_none=True, exclude_defaults=True
            )
            lines += [f"{key} = {_toml(value)}" for key, value in said.items()]
        return "\n".join(lines) + "\n"


def read_album(path: str | Path, **changes: Any) -> AlbumRequest:
    """Read an album.toml.

    Args:
        path: the file; plans that it names are sought beside it.
        changes: keys that replace those of the file.

    Raises:
        RequestError: names the file, the song and the key, and says what would fit.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequestError(f"no album file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"{path} is not TOML: {error}") from None
    content |= changes
    entries = content.get("song", [])
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("plan"), str):
            entry["plan"] = str((path.parent / entry["plan"]).absolute())
    return album_request(content, source=str(path))


def album_request(content: Mapping[str, Any], *, source: str = "album") -> AlbumRequest:
    """Check what is asked of an album.

    Raises:
        RequestError: see `read_album`.

    >>> album_request({"songs": 3}).count
    3
    >>> album_request({"temp": 90})
    Traceback (most recent call last):
        ...
    structure.errors.RequestError: album: no key 'temp' (is 'tempo' meant?); ...
    """
    try:
        return AlbumRequest.model_validate(dict(content))
    except pydantic.ValidationError as error:
        flaws = [_complaint(flaw) for flaw in error.errors()]
        raise RequestError(f"{source}: " + "; ".join(dict.fromkeys(flaws))) from None


def _complaint(flaw: Mapping[str, Any]) -> str:
    """One flaw that pydantic found, in words that name the key."""
    place = list(flaw["loc"])
    where, known = "", AlbumRequest.model_fields
    if place[:1] == ["song"] and len(place) > 1 and isinstance(place[1], int):
        where, known = f"song {place[1] + 1}: ", SongEntry.model_fields
        place = place[2:]
    # Beyond the key stand places in a list and names of pydantic's own types.
    key = str(place[0]) if place else ""
    if flaw["type"] == "extra_forbidden":
        return (
            f"{where}no key {key!r}{_perhaps(key, known)}; keys are {', '.join(known)}"
        )
    message = flaw["msg"].removeprefix("Value error, ")
    for pydantics, ours in _WORDS.items():
        message = message.replace(pydantics, ours)
    if "error" not in flaw.get("ctx", {}):
        message = f"{flaw['input']!r}: {message[0].lower()}{message[1:]}"
    return f"{where}{key}: {message}" if key else f"{where}{message}"


_WORDS = {
    "valid dictionary or instance of SongEntry": "table",
    "valid tuple": "list",
    "pattern '^\\d{4}(-\\d\\d(-\\d\\d)?)?$'": "2026, 2026-11 or 2026-11-21",
}


def _perhaps(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (is {close[0]!r} meant?)" if close else ""


def _toml(value: Any) -> str:
    # Text, numbers, truth and rows of them are written in TOML as in JSON.
    return json.dumps(value, ensure_ascii=False)
