"""Long work shows where it stands, on a terminal and in a log."""

import io
import logging
import time
from pathlib import Path

import pytest

from saec import progress as room
from saec.progress import also_into, duration, progress, to_terminal


class Terminal(io.StringIO):
    """What stderr is on a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_passes_everything_on_and_says_how_many(monkeypatch):
    terminal, passed = Terminal(), []
    monkeypatch.setattr(room.sys, "stderr", terminal)
    for item in progress(range(4), "epoch 1", 4, " batches", lambda: f"{len(passed)} done"):
        time.sleep(0.11)  # a bar is drawn ten times a second at most
        passed.append(item)
    assert passed == [0, 1, 2, 3]
    for words in ("epoch 1", "3/4", "2 done"):
        assert words in terminal.getvalue()


def test_without_a_terminal_a_line_a_minute_says_how_much_is_left(monkeypatch, caplog):
    minutes = iter(range(0, 3600, 60))
    monkeypatch.setattr(room.time, "monotonic", lambda: float(next(minutes)))
    with caplog.at_level(logging.INFO, "saec"):
        assert list(progress("abc", "encoding", 3)) == list("abc")
    assert "encoding: 1 of 3" in caplog.text and "left" in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_log_on_a_full_disk_is_given_up_with_a_word_and_the_work_goes_on(caplog, capsys):
    with also_into(Path("/dev/full")):
        for word in ("first", "second"):
            room.LOG.info(word)
    assert caplog.messages == [
        "/dev/full gets no more lines: [Errno 28] No space left on device",
        "first",
        "second",
    ]
    assert "Traceback" not in capsys.readouterr().err


def test_a_duration_is_written_for_people():
    words = {0.4: "0 s", 42: "42 s", 200: "3 min 20 s", 7500: "2 h 5 min"}
    assert {seconds: duration(seconds) for seconds in words} == words


def test_a_script_shows_the_same_warning_once_and_other_lines_as_often_as_they_come(capsys):
    for _ in range(2):  # each call of a script begins anew
        to_terminal()
        for _ in range(2):
            logging.getLogger("saec.test").warning("twice")
            logging.getLogger("saec.test").info("a line")
        lines = [line[9:] for line in capsys.readouterr().err.splitlines()]
        assert lines == ["twice", "a line", "a line"]
