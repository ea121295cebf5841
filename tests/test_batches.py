"""Every window is drawn once an epoch, and a step always draws the same."""

import collections
import threading
import time

import numpy as np
import pytest

from hierarchy.training.batches import Epochs, WindowBatches, ahead_of_time


def drawn(epochs: Epochs, start: int, stop: int) -> list[tuple[int, int]]:
    sources, windows = epochs.draws(np.arange(start, stop))
    return list(zip(sources.tolist(), windows.tolist(), strict=True))


def test_every_window_comes_once_an_epoch_in_a_new_order():
    epochs = Epochs([5, 0, 3, 9], seed=1)
    everything = {(s, w) for s, n in enumerate([5, 0, 3, 9]) for w in range(n)}
    first, second = drawn(epochs, 0, 17), drawn(epochs, 17, 34)
    assert len(epochs) == 17
    assert sorted(first) == sorted(second) == sorted(everything)
    assert first != second


def test_the_order_follows_from_position_and_seed_alone():
    whole = drawn(Epochs([5, 3], seed=1), 0, 40)
    parts = [drawn(Epochs([5, 3], seed=1), i, i + 1)[0] for i in reversed(range(40))]
    assert parts[::-1] == whole
    assert drawn(Epochs([5, 3], seed=2), 0, 40) != whole


def test_weights_share_an_epoch_and_no_window_waits_longer_than_its_fellows():
    epochs = Epochs([10, 30, 5], seed=0, weights=[2.0, 1.0, 0.0])
    assert len(epochs) == 45
    draws = drawn(epochs, 0, 45)
    assert collections.Counter(s for s, _ in draws) == {0: 30, 1: 15}
    often = collections.Counter(drawn(epochs, 0, 90))
    assert {often[0, w] for w in range(10)} == {6}
    assert {often[1, w] for w in range(30)} == {1}


@pytest.mark.parametrize(
    "counts, weights, complaint",
    [
        ([0, 0], None, "no windows to draw"),
        ([3, 2], [1.0], "it takes one each"),
        ([3, 2], [1.0, -1.0], "none negative"),
        ([3, 0], [1.0, 1.0], r"but windows are \[3, 0\]"),
    ],
)
def test_what_cannot_be_drawn_says_why(counts, weights, complaint):
    with pytest.raises(ValueError, match=complaint):
        Epochs(counts, seed=0, weights=weights)


def ramps(lengths: list[int], window: int):
    def cut(source: int, start: int, random: np.random.Generator):
        times = np.arange(start, start + window)
        assert 0 <= start and start + window <= lengths[source]
        return {"x": times + 1000 * source, "gain": random.random()}

    return cut


def test_windows_reach_every_sample_and_never_leave_the_recording():
    lengths = [23, 4, 17, 8]
    batches = WindowBatches(
        ramps(lengths, 8), lengths, window=8, batch_size=4, seed=3, hop=5
    )
    seen = np.concatenate([batches(step)["x"].ravel() for step in range(200)])
    wanted = [1000 * s + t for s in (0, 2, 3) for t in range(lengths[s])]
    assert set(seen.tolist()) == set(wanted)


def test_a_step_is_the_same_batch_whoever_asks_and_when():
    lengths = [100, 300]
    one, other = (
        WindowBatches(ramps(lengths, 16), lengths, window=16, batch_size=6, seed=5)
        for _ in range(2)
    )
    late = one(31)
    for step in range(40):
        early = other(step)
        if step == 31:
            np.testing.assert_array_equal(late["x"], early["x"])
            np.testing.assert_array_equal(late["gain"], early["gain"])
    assert late["x"].shape == (6, 16)
    assert late["gain"].shape == (6,)
    assert len(set(late["gain"].tolist())) == 6


def test_windows_longer_than_any_recording_are_refused():
    with pytest.raises(ValueError, match="windows of 64 from recordings of at most 30"):
        WindowBatches(ramps([30], 64), [30], window=64, batch_size=1, seed=0)


def test_batches_come_in_order_however_long_each_takes():
    def make(step):
        time.sleep(0.02 if step % 3 == 0 else 0)
        return step

    assert list(ahead_of_time(make, 3, 20, ahead=4, threads=3)) == list(range(3, 20))
    assert list(ahead_of_time(make, 3, 3)) == []


def test_a_failing_batch_fails_in_its_turn():
    def make(step):
        if step == 2:
            raise OSError("the disk is gone")
        return step

    stream = ahead_of_time(make, 0, 9)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


def test_a_closed_stream_leaves_no_thread_behind():
    before = threading.active_count()
    stream = ahead_of_time(lambda step: step, 0, 1000, threads=2)
    next(stream)
    assert threading.active_count() > before
    stream.close()
    assert threading.active_count() == before
