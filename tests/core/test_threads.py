"""Reading ahead and writing behind: order, limits, errors, interruptions."""

import threading
import time
from collections.abc import Iterator

import pytest

from bench.core.concurrency import background_calls, prefetch


def numbers(made: list[int], stop: int = 10) -> Iterator[int]:
    for number in range(stop):
        made.append(number)
        yield number


def test_items_come_in_their_order_and_not_too_far_ahead() -> None:
    made: list[int] = []
    taken = []
    with prefetch(numbers(made), 2) as items:
        for item in items:
            taken.append(item)
            time.sleep(0.005)
            assert len(made) <= len(taken) + 3  # two ahead, and the one being made
    assert taken == list(range(10))


def test_items_are_made_while_another_is_worked_on() -> None:
    made: list[int] = []
    with prefetch(numbers(made), 2) as items:
        next(items)
        deadline = time.monotonic() + 5
        while len(made) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(made) == 3


def test_an_error_comes_where_its_item_would_have() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    with prefetch(broken(), 4) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="torn"):
            next(items)


def test_leaving_early_leaves_no_thread() -> None:
    before = threading.active_count()

    def interrupted() -> None:
        with prefetch(numbers([], 10_000), 3) as items:
            next(items)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threading.active_count() == before


def test_calls_are_made_in_their_order_in_another_thread() -> None:
    done: list[tuple[int, bool]] = []
    with background_calls(3) as later:
        for number in range(20):
            later(
                lambda n: done.append((n, threading.current_thread() is threading.main_thread())),
                number,
            )
    assert done == [(number, False) for number in range(20)]


def test_no_more_calls_wait_than_allowed() -> None:
    free, begun = threading.Event(), []

    def slow(number: int) -> None:
        begun.append(number)
        free.wait(5)

    with background_calls(2) as later:
        for number in range(2):
            later(slow, number)
        threading.Timer(0.05, free.set).start()
        later(slow, 2)  # waits for the first
        assert free.is_set()
    assert begun == [0, 1, 2]


def test_an_interruption_loses_no_call() -> None:
    done: list[int] = []

    def slow(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    def interrupted() -> None:
        with background_calls(5) as later:
            for number in range(3):
                later(slow, number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [0, 1, 2]


def test_an_error_of_a_call_is_raised_and_those_that_wait_are_not_made() -> None:
    done: list[int] = []

    def write(number: int) -> None:
        if number == 1:
            raise OSError("disk full")
        time.sleep(0.2 if number == 2 else 0)
        done.append(number)

    def write_all() -> None:
        with background_calls(20) as later:
            for number in range(10):
                later(write, number)

    with pytest.raises(OSError, match="disk full"):
        write_all()
    assert set(done) <= {0, 2}  # 2 may have begun before the error was seen
