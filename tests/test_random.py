"""Philox against the vectors of its authors, and what is drawn from it."""

from __future__ import annotations

import numpy as np
import pytest

from nnspec.layers.initializers import truncated
from nnspec.ops.random import RandomBits, counters, normal, normal_at, philox, stream, uniform

ONES = 0xFFFFFFFF
# Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_gives_the_known_answers(counter: tuple[int, ...], key: tuple[int, int],
                                        result: tuple[int, ...]) -> None:
    assert tuple(philox(key, np.array([counter], np.uint32))[0]) == result


def test_each_counter_is_answered_alone() -> None:
    together = philox((1, 2), counters(100, row=3, step=1 << 40))
    alone = [philox((1, 2), counters(100, row=3, step=1 << 40)[i : i + 1])[0] for i in range(100)]
    np.testing.assert_array_equal(together, alone)


def test_uniform_numbers_lie_inside_and_are_even() -> None:
    u = uniform(7, "kernel", 100_000)
    assert u.min() > 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / u.size)
    counted = np.histogram(u, 64, (0, 1))[0]
    assert float(((counted - u.size / 64) ** 2 / (u.size / 64)).sum()) < 63 + 5 * np.sqrt(2 * 63)


def test_normal_numbers_have_the_moments_of_a_normal() -> None:
    n = normal(7, "kernel", 100_000)
    for power, moment, deviation in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((n**power).mean() - moment) < 5 * np.sqrt(deviation / n.size)


def test_fewer_numbers_are_the_first_of_more() -> None:
    for draw in (uniform, normal):
        np.testing.assert_array_equal(draw(3, "w", 1001)[:37], draw(3, "w", 37))


def test_numbers_drawn_at_their_places_are_those_of_the_whole() -> None:
    places = np.array([0, 1, 5, 16_383, 16_384, 16_385, 70_001])
    np.testing.assert_array_equal(normal_at(3, "w", places), normal(3, "w", 70_002)[places])


def test_what_lies_beyond_two_deviations_is_drawn_again_by_its_place() -> None:
    wanted = normal(3, "w", 20_001)
    for attempt in range(1, 9):
        wanted = np.where(np.abs(wanted) > 2, normal(3, f"w:{attempt}", wanted.size), wanted)
    np.testing.assert_array_equal(truncated(3, "w", (3, 6667)), wanted.reshape(3, 6667))


def test_seeds_and_names_give_unrelated_numbers() -> None:
    drawn = [uniform(seed, name, 20_000) for seed in (0, 1) for name in ("a/kernel", "b/kernel")]
    related = np.corrcoef(drawn) - np.eye(4)
    assert np.abs(related).max() < 5 / np.sqrt(20_000)


def bits(shape: tuple[int, ...], seed: int = 5, step: int = 9, name: str = "dropout_1") -> np.ndarray:
    found = RandomBits(shape, stream(name)).reference(np.array(seed, np.uint32), np.array(step, np.int64))
    return np.asarray(found)


def test_a_rows_bits_do_not_depend_on_how_many_rows_there_are() -> None:
    np.testing.assert_array_equal(bits((8, 3, 7))[:3], bits((3, 3, 7)))


def test_an_elements_bits_do_not_depend_on_the_width() -> None:
    np.testing.assert_array_equal(bits((4, 100))[:, :13], bits((4, 13)))


def test_bits_of_other_steps_rows_and_draws_are_unrelated() -> None:
    drawn = [bits((2, 10_000), step=s, name=n).astype(np.float64) for s in (0, 1 << 32) for n in ("a", "b")]
    rows = np.concatenate(drawn)
    assert np.abs(np.corrcoef(rows) - np.eye(len(rows))).max() < 5 / np.sqrt(10_000)
    assert abs(rows.mean() / 65535 - 0.5) < 5 * np.sqrt(1 / 12 / rows.size)


def test_sixteen_bits_are_the_halves_of_the_words_low_half_first() -> None:
    words = philox((5, stream("dropout_1")), counters(1, row=0, step=9))[0]
    halves = [int(w) >> shift & 0xFFFF for w in words for shift in (0, 16)]
    assert bits((1, 8)).tolist() == [halves]
