"""Config files say what is wrong with them, and where."""

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from hierarchy.training.configuration import read_config
from hierarchy.training.recipe import FitConfig
from structure.errors import RequestError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reverb:
    seconds: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synth:
    voices: int = 4
    detune: float = 0.0
    dilations: tuple[int, ...] = (1, 2)
    span: tuple[float, float] = (0.0, 1.0)
    wave: Literal["saw", "sine"] = "saw"
    minutes: float | None = None
    loop: bool = False
    reverb: Reverb = Reverb()
    samples: Path | None = None

    def __post_init__(self):
        if self.voices < 1:
            raise ValueError(f"voices start at 1, got {self.voices}")


@dataclasses.dataclass(frozen=True)
class Named:
    name: str


CLASSES = {"synth": Synth, "training": FitConfig}


def config_file(folder: Path, text: str) -> Path:
    path = folder / "pad.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_file_leaves_out_keeps_its_default(tmp_path):
    configs = read_config(config_file(tmp_path, "[synth]\nvoices = 8\n"), CLASSES)
    assert configs == {"synth": Synth(voices=8), "training": FitConfig()}


def test_lists_whole_numbers_and_tables_become_what_the_fields_are(tmp_path):
    text = """
    [synth]
    detune = 1
    minutes = 8
    dilations = [1, 2, 4]
    span = [0, 0.5]
    wave = "sine"
    loop = true
    samples = "kit/snare"
    reverb = { seconds = 2 }
    """
    synth = read_config(config_file(tmp_path, text), CLASSES)["synth"]
    assert synth == Synth(
        detune=1.0,
        minutes=8.0,
        dilations=(1, 2, 4),
        span=(0.0, 0.5),
        wave="sine",
        loop=True,
        samples=Path("kit/snare"),
        reverb=Reverb(seconds=2.0),
    )
    assert isinstance(synth.detune, float)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("voices = 3", "'voices' stands outside a section; sections are synth"),
        ("[sinth]\n", r"no section \[sinth\] \(is 'synth' meant\?\)"),
        ("[synth]\nvoyces = 3", r"\[synth\]: no key 'voyces' \(is 'voices' meant\?\)"),
        ("[synth]\nvoices = 'many'", "voices: 'many' is a text; it takes a whole num"),
        ("[synth]\nvoices = 2.5", "voices: 2.5 is a number; it takes a whole number"),
        ("[synth]\nvoices = true", "voices: True is a true or false; it takes a whole"),
        ("[synth]\nvoices = 0", r"\[synth\]: voices start at 1, got 0"),
        ("[synth]\ndetune = true", "detune: True is a true or false; it takes a num"),
        ("[synth]\ndilations = 3", "dilations: 3 is a whole number; it takes a list"),
        ("[synth]\ndilations = [1, 'b']", r"dilations\[1\]: 'b' is a text"),
        ("[synth]\nspan = [1.0]", "span: 1 values; it takes 2"),
        ("[synth]\nwave = 'square'", "wave: 'square'; it is one of 'saw', 'sine'"),
        ("[synth]\nminutes = 'all day'", "minutes: 'all day' is a text; it takes a n"),
        ("[synth]\nreverb = { secs = 2 }", "reverb: no key 'secs'"),
        ("[training]\nlearning_rate = -1.0", "learning_rate is above 0, got -1.0"),
        ("[training]\nsteps = 50", "warmup_steps is below steps, got 100 of 50"),
        ("[training]\nema_decay = 1.0", "ema_decay is from 0 to below 1, got 1.0"),
        ("[training]\nstart_share = 1.0", "start_share is from 0 to below 1, got 1.0"),
        ("[synth\n", "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_file_section_and_key(tmp_path, text, complaint):
    path = config_file(tmp_path, text)
    with pytest.raises(RequestError, match=complaint) as error:
        read_config(path, CLASSES)
    assert str(path) in str(error.value)


def test_a_key_without_default_must_be_there(tmp_path):
    path = config_file(tmp_path, "[song]\n")
    with pytest.raises(RequestError, match=r"\[song\]: key 'name' is missing"):
        read_config(path, {"song": Named})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"no config file .*pad\.toml"):
        read_config(tmp_path / "pad.toml", CLASSES)
