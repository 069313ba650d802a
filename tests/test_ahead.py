"""Work beside the main thread: in order, bounded, its errors raised, its threads ended when it is left."""

import threading
import time

import pytest

from saec.data.ahead import ahead


def threads(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(name)]


def wait_until_none(name: str) -> None:
    deadline = time.monotonic() + 10
    while threads(name):
        assert time.monotonic() < deadline, threads(name)
        time.sleep(0.001)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_ahead", [0, 1, 2, 100])
def test_results_come_in_the_order_of_their_keys(n_ahead, n_threads):
    assert list(ahead(lambda key: key * 2, range(20), n_ahead, n_threads)) == list(range(0, 40, 2))
    assert list(ahead(str, [], n_ahead, n_threads)) == []


def test_so_many_are_begun_ahead_and_no_more():
    begun: list[int] = []
    results = ahead(lambda key: begun.append(key) or key, range(100), 2)
    assert next(results) == 0
    deadline = time.monotonic() + 10
    while len(begun) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert begun == [0, 1, 2]
    results.close()


def test_an_error_comes_where_its_result_would_come():
    def make(key: int) -> int:
        if key == 3:
            raise OSError("no such picture")
        return key

    results = ahead(make, range(10), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="no such picture"):
        next(results)
    wait_until_none("ahead")


def test_leaving_early_ends_the_thread_and_does_not_wait_for_it():
    slow = threading.Event()
    results = ahead(lambda key: key and slow.wait(10), range(100), 2)
    assert next(results) == 0
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 5
    slow.set()
    wait_until_none("ahead")


def test_a_loop_that_is_left_by_an_error_ends_the_thread():
    def loop() -> None:
        for key in ahead(str, range(100), 2):
            if key == "5":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    wait_until_none("ahead")


def test_what_was_taken_of_keys_that_raise_is_still_done_where_that_is_wanted():
    done: list[int] = []

    def keys():
        yield from (0.05, 0, 0)
        raise KeyboardInterrupt

    def work(seconds: float) -> None:
        time.sleep(seconds)
        done.append(seconds)

    with pytest.raises(KeyboardInterrupt):
        list(ahead(work, keys(), 100, finish=True))
    assert done == [0.05, 0, 0]
    assert not threads("ahead")
