"""Reads sound files: those below a folder, what their headers say, and their samples, block by block."""

import hashlib
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from math import ceil, gcd
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile
import soxr
from pydantic import NonNegativeInt

from saec.faults import Unusable, listing
from saec.folders import found_below
from saec.sound.headers import Mended, mends_of

LOG = logging.getLogger(__name__)
USUAL = "wav flac ogg mp3 aif aiff aifc oga opus sph snd wave m4a aac wma".split()  # what fails is listed
HEADERLESS = ".raw"
SUFFIXES = {f".{s.lower()}" for s in (*soundfile.available_formats(), *USUAL)} - {HEADERLESS}
STUB = 30  # letters of a recording's name that its pictures carry
END = re.compile(r"(?:(?<=_)\d|\d{6})[\dTZ_]{0,15}$")  # of a name: a date, a time, a number
BLOCK = 1 << 18  # samples of all channels decoded at a time
MOST_A_BYTE = 64  # frames; what announces more is counted by decoding
MOST_UPSAMPLED = 100  # times as many samples as there are
ENOUGH = 0.98  # of the announced frames: an MP3's announcement may be an estimate
GUESSED = "which is guessed by their beginnings, so their ends may be missing: convert them to WAV or FLAC"
CUT = re.compile(r"^\s*(?:data|SSND|[Rr]iff(?: size)?|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
UNKNOWN_SIZES = (1 << 31, 1 << 32)  # programs that write into a pipe announce about so many bytes
ABOUT = 1 << 13
PADDING = 16  # bytes that a header may announce too many
HEADERS = PADDING + 2 * 44  # by programs that count the header, too
EXACT = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "CAF", "AU"}  # formats that are sought to the frame
LEAD = 4096  # frames before a stretch that is resampled, more than the filter reaches
Channel = Literal["mean"] | NonNegativeInt  # the mean of all, or one by its number


def find_recordings(folder: Path) -> list[str]:
    """Returns the recordings below a folder as sorted relative POSIX paths; raises as `found_below`."""
    recordings = found_below(folder, SUFFIXES, "recording", "files such as .wav, .flac, .ogg or .mp3")
    folders = {name.partition("/")[0] for name in recordings if "/" in name}
    empty = [one.name for one in os.scandir(folder) if one.is_dir() and one.name not in folders]
    empty = sorted(name for name in empty if not name.startswith("."))
    if folders and empty:
        LOG.warning("%d folders in %s hold no recording:\n%s", len(empty), folder, listing(empty))
    return recordings


def stubs_of(recordings: list[str]) -> dict[str, str]:
    """Returns what names of a recording's pictures begin with; those who would share it get a hash, too.

    No two are the same, in whatever case: the hash has as many digits as that takes.
    """
    plain = {recording: _stub(Path(recording).stem) for recording in recordings}
    shared = Counter(stub.lower() for stub in plain.values())  # some file systems take A for a
    stubs, n_digits = plain, 4
    while len({stub.lower() for stub in stubs.values()}) < len(stubs):
        n_digits += 2
        stubs = {
            recording: stub if shared[stub.lower()] == 1 else f"{stub}_{_digest(recording)[:n_digits]}"
            for recording, stub in plain.items()
        }
    return stubs


class Header(NamedTuple):
    """Holds what is told of a recording without looking at its samples."""

    frames: int
    samplerate: int
    channels: int
    format: str
    subtype: str
    is_complete: bool  # whether it says how long the recording is, else that was counted, or guessed of MP3

    @property
    def length_s(self) -> float:
        return self.frames / self.samplerate


def header(path: Path) -> Header | None:
    """Returns the header of a recording; None for one that cannot be opened, or counted where it must be."""
    try:
        with _opened(path) as file:
            n = _announced(file, path)
            n_frames = _count(path, path.stat().st_mtime_ns) if n is None else n
            is_stated = n is not None and (bool(_why_cut(file, path)) or not _surplus(file))
            is_complete = is_stated and not file.is_mended and not _estimates(file, path)
            of = file.samplerate, file.channels, file.format, file.subtype
            return Header(n_frames, *of, is_complete)
    except (Unusable, soundfile.SoundFileError, OSError):
        return None


def warn_of_unsure(headers: dict[str, Header | None]) -> None:
    """Warns of recordings that do not say how long they are."""
    for is_mp3, words in ((False, "all that they hold is read"), (True, GUESSED)):
        unsure = [n for n, h in headers.items() if h and not h.is_complete and is_mp3 == (h.format == "MP3")]
        if unsure:
            words = f"%d recordings do not say how long they are, {words}:\n%s"
            LOG.warning(words, len(unsure), listing(unsure))


def why_not(about: Header | soundfile.SoundFile, rate: int, channel: Channel) -> str:
    """Returns why nothing can be made at that rate of that channel; "" where it can."""
    if channel != "mean" and channel >= about.channels:
        return f"has {about.channels} channels, channel {channel} is asked for (the first is 0)"
    if rate > MOST_UPSAMPLED * about.samplerate:
        return f"says that it has {about.samplerate} samples a second, too few for sample_rate: {rate}"
    return ""


def load_sound(path: Path, rate: int, scratch: Path) -> np.ndarray:
    """Reads a whole recording, mono, at `rate`, memory-mapped from the scratch file, so it takes no memory.

    Raises:
        Unusable: no sound file, truncated, without samples, or with samples that are no numbers.
    """
    with scratch.open("wb") as store:
        for piece in stream(path, rate):
            piece.tofile(store)
    if scratch.stat().st_size == 0:
        raise Unusable("has no samples")
    return np.memmap(scratch, np.float64, "r")


def stream(
    path: Path, rate: int, channel: Channel = "mean", first: int = 0, n: int | None = None
) -> Iterator[np.ndarray]:
    """Yields one channel of a recording at `rate`, block by block: float64, full scale is 1.

    n samples from `first` on, or all; where the recording is resampled, rounding may be another than in the
    middle of all.

    Raises:
        Unusable: no sound file, truncated, without that channel, or with samples that are no numbers.
    """
    try:
        with _opened(path) as file:
            reason = _why_cut(file, path) or why_not(file, rate, channel)
            if reason:
                raise Unusable(reason)
            n_all = _announced(file, path)
            skipped = first - (0 if n_all is None else _seek(file, rate, first))
            n_frames = max(1, BLOCK // file.channels)
            if n is not None:
                n_frames = min(n_frames, ceil((skipped + n) * file.samplerate / rate) + LEAD)
            n_sure = 0 if n_all is None or _estimates(file, path) else n_all
            blocks = _at_rate(_mono(file, channel, n_frames, n_sure), file.samplerate, rate)
            yield from _stretch(blocks, skipped, n)
    except (soundfile.SoundFileError, OSError) as error:
        raise Unusable(_reason(path, error)) from error


class _Ahead(soundfile.SoundFile):
    """Reads on without seeking after each block, which changes MP3 and fails where no length is stated."""

    is_mended = False

    @property
    def can_seek(self) -> bool:
        return super().seekable()

    def seekable(self) -> bool:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[_Ahead]:
    """Opens a recording, with a mended header where its own does not say how long it is."""
    with ExitStack() as stack:
        mends = mends_of(path)
        source = stack.enter_context(Mended(path, mends)) if mends else path
        file = stack.enter_context(_Ahead(source))
        file.is_mended = bool(mends)
        yield file


def _announced(file: soundfile.SoundFile, path: Path) -> int | None:
    """Returns the frames that a header announces; None where they are more than its file can hold."""
    return file.frames if file.frames <= MOST_A_BYTE * path.stat().st_size else None


def _estimates(file: soundfile.SoundFile, path: Path) -> bool:
    """Returns whether the frames of an MP3 are not counted in it, but guessed by its first ones."""
    if file.format != "MP3":
        return False
    with path.open("rb") as mp3:
        head = mp3.read(BLOCK)
    return not any(word in head for word in (b"Xing", b"Info", b"VBRI"))


@lru_cache(maxsize=1 << 16)
def _count(path: Path, mtime_ns: int) -> int:
    """Returns the frames that decoding gives, counted once while a file stays as it is."""
    with _opened(path) as file:
        n = 0
        while len(block := file.read(max(1, BLOCK // file.channels), dtype="float32")):
            n += len(block)
    return n


def _seek(file: _Ahead, rate: int, first: int) -> int:
    """Goes to a little before sample `first` at that rate, and returns the sample where reading goes on."""
    if file.format not in EXACT or not file.can_seek:
        return 0
    common = gcd(file.samplerate, rate)
    step, frames = rate // common, file.samplerate // common  # so many samples are so many frames
    lead = 0 if file.samplerate == rate else ceil(LEAD * max(1, rate / file.samplerate))
    n_steps = max(0, first - lead) // step
    file.seek(min(n_steps * frames, file.frames))
    return n_steps * step


def _stretch(blocks: Iterator[np.ndarray], first: int, n: int | None) -> Iterator[np.ndarray]:
    for block in blocks:
        block, first = block[first : n and first + n], max(0, first - len(block))
        n = n and n - len(block)
        if len(block):
            yield block
        if n == 0:
            return


def _stub(name: str) -> str:
    """Returns the first plain letters of a name; of a longer one that ends in digits these are the last."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_]", "", re.sub(r"[ -]", "_", plain)) or "recording"
    end = END.search(plain) if len(plain) > STUB else None
    return f"{plain[: STUB - 1 - len(end[0])]}_{end[0]}" if end else plain[:STUB]


def _digest(recording: str) -> str:
    return hashlib.sha256(recording.encode("utf-8", "surrogateescape")).hexdigest()


def _surplus(file: soundfile.SoundFile) -> list[tuple[int, int]]:
    """Returns bytes announced and bytes there where they are fewer, which libsndfile only logs."""
    pairs = [(int(announced), int(there)) for announced, there in CUT.findall(file.extra_info)]
    return [(announced, there) for announced, there in pairs if announced > there + PADDING]


def _why_cut(file: soundfile.SoundFile, path: Path) -> str:
    """Returns why a file cannot be used that has less than its header announces; "" where nothing is missing,
    as that is a word for any length, or counts the header.
    """
    for announced, there in _surplus(file):
        unknown = any(abs(announced - size) <= ABOUT for size in UNKNOWN_SIZES)
        if not unknown and announced > there + HEADERS and announced != path.stat().st_size:
            return f"is truncated: {announced:,} bytes announced, {there:,} there"
    return ""


def _mono(file: _Ahead, channel: Channel, n_frames: int, n_all: int) -> Iterator[np.ndarray]:
    n_read = file.tell() if file.can_seek else 0
    while len(block := file.read(n_frames, always_2d=True)):  # (frames, channels)
        if not np.isfinite(block).all():
            raise Unusable("holds samples that are not numbers (NaN or infinite)")
        n_read += len(block)
        yield block.mean(axis=1) if channel == "mean" else block[:, channel]
    if n_read < ENOUGH * n_all:
        raise Unusable(f"is truncated: {n_all:,} frames announced, {n_read:,} there")


def _at_rate(pieces: Iterator[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    """Resamples a stream to the same numbers, bit for bit, as resampling all at once."""
    if rate == wanted:
        yield from pieces
        return
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float64", quality="HQ")
    for piece in pieces:
        yield stream.resample_chunk(piece)
    yield stream.resample_chunk(np.empty(0), last=True)


def _reason(path: Path, error: soundfile.SoundFileError | OSError) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "is empty (0 bytes)"
    words = error.strerror if isinstance(error, OSError) else getattr(error, "error_string", error)
    remedy = "" if isinstance(error, OSError) else " (if other programs play it, convert it to WAV or FLAC)"
    return f"cannot be read as sound: {words}{remedy}"
