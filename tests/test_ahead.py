"""Work beside the main thread: in order, bounded, its errors raised, its threads ended when it is left."""

import threading
import time

import pytest

from saec.data.ahead import Behind, ahead


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


def test_things_are_done_behind_in_their_order_and_all_when_the_block_ends():
    done: list[int] = []
    with Behind(3) as behind:
        for key in range(20):
            behind.do(done.append, key)
            assert len(done) >= key - 3
    assert done == list(range(20))
    assert not threads("behind")


def test_nothing_is_done_after_a_failure_which_is_raised():
    done: list[int] = []

    def fail() -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"), Behind(100) as behind:
        behind.do(done.append, 1)
        behind.do(fail)
        behind.do(done.append, 2)
    assert done == [1]


def test_what_was_given_before_an_error_of_the_block_is_still_done():
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt), Behind(100) as behind:
        behind.do(time.sleep, 0.05)
        behind.do(done.append, 1)
        raise KeyboardInterrupt
    assert done == [1]
    assert not threads("behind")
