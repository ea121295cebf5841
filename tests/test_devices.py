import jax
import pytest

from hierarchy.devices import CACHE_VARIABLE, keep_compiled_programs, use_all_cores


@pytest.fixture(autouse=True)
def cache_as_before(monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_compiled_programs_are_kept_where_one_says(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    folder = keep_compiled_programs()
    assert folder.is_dir() and folder.parent == tmp_path / "cache"
    assert jax.config.jax_compilation_cache_dir == str(folder)


def test_compiled_programs_are_not_kept_if_one_says_so(monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert keep_compiled_programs() is None


def test_a_cache_that_cannot_be_written_troubles_nobody(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    assert keep_compiled_programs() is None


def test_asking_for_cores_too_late_changes_nothing():
    before = len(jax.devices())
    assert use_all_cores() == before
