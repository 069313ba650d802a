"""Reads sound files: those below a folder, what their headers say, and their samples, block by block."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from math import ceil, gcd
from pathlib import Path
from posixpath import splitext
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from pydantic import NonNegativeInt

from saec.faults import MissingFault, Unusable
from saec.files import files_below

USUAL = "wav flac ogg mp3 aif aiff aifc oga opus sph snd wave m4a aac wma".split()  # what fails is listed
HEADERLESS = ".raw"
SUFFIXES = {f".{s.lower()}" for s in (*soundfile.available_formats(), *USUAL)} - {HEADERLESS}
STUB = 30  # letters of a recording's name that its pictures carry
END = re.compile(r"(?:(?<=_)\d|\d{6})[\dTZ_]{0,15}$")  # of a name: a date, a time, a number
BLOCK = 1 << 18  # frames decoded at a time
ENOUGH = 0.98  # of the announced frames: an MP3's announcement may be an estimate
CUT = re.compile(r"^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
UNKNOWN_SIZE = 0xFFFFFF00  # programs that write into a pipe announce about this many bytes
EXACT = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "CAF", "AU"}  # formats that are sought to the frame
LEAD = 4096  # frames before a stretch that is resampled, more than the filter reaches
Channel = Literal["mean"] | NonNegativeInt  # the mean of all, or one by its number


def find_recordings(folder: Path) -> list[str]:
    """Returns the recordings below a folder as sorted relative POSIX paths; hidden ones are left out.

    Raises:
        MissingFault: there is no such folder, or no recording in it.
        Fault: names are no text, or lead nowhere.
    """
    if not folder.is_dir():
        raise MissingFault(f"no folder of recordings: {folder}")
    recordings = list(files_below(folder, SUFFIXES))
    if not recordings:
        there = Counter(splitext(name)[1].lower() or "no suffix" for name in files_below(folder))
        instead = ", ".join(f"{count:,} x {suffix}" for suffix, count in there.most_common(5))
        raise MissingFault(
            f"no recording in {folder} or below it: expected files such as .wav, .flac, .ogg or .mp3, "
            f"found {instead or 'no file at all'}"
        )
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


def length_s(path: Path) -> float | None:
    """Returns the length that the header announces, or None for a file that cannot be opened."""
    about = header(path)
    return about and about.frames / about.samplerate


def header(path: Path) -> Any:
    """Returns `soundfile.info`, with frames, samplerate, ...; None for a file that cannot be opened."""
    try:
        return soundfile.info(path)
    except (soundfile.SoundFileError, OSError):
        return None


def lacks_channel(n_there: int, channel: int) -> str:
    """Returns why a recording without that channel cannot be used."""
    return f"has {n_there} channels, channel {channel} is asked for (the first is 0)"


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
        with soundfile.SoundFile(path) as file:
            _require_uncut(file)
            skipped = first - _seek(file, rate, first)
            n_frames = BLOCK
            if n is not None:
                n_frames = min(BLOCK, ceil((skipped + n) * file.samplerate / rate) + LEAD)
            blocks = _at_rate(_mono(file, channel, n_frames), file.samplerate, rate)
            yield from _stretch(blocks, skipped, n)
    except soundfile.SoundFileError as error:
        raise Unusable(_reason(path, error)) from error


def _seek(file: soundfile.SoundFile, rate: int, first: int) -> int:
    """Goes to a little before sample `first` at that rate, and returns the sample where reading goes on."""
    if file.format not in EXACT:
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


def _require_uncut(file: soundfile.SoundFile) -> None:
    """Refuses a file with less than its header announces, which libsndfile only logs."""
    for announced, there in CUT.findall(file.extra_info):
        if int(there) + 16 < int(announced) < UNKNOWN_SIZE:
            raise Unusable(f"is truncated: {int(announced):,} bytes announced, {int(there):,} there")


def _mono(file: soundfile.SoundFile, channel: Channel, n_frames: int) -> Iterator[np.ndarray]:
    if channel != "mean" and channel >= file.channels:
        raise Unusable(lacks_channel(file.channels, channel))
    n_read = file.tell()
    while len(block := file.read(n_frames, always_2d=True)):  # (frames, channels)
        if not np.isfinite(block).all():
            raise Unusable("holds samples that are not numbers (NaN or infinite)")
        n_read += len(block)
        yield block.mean(axis=1) if channel == "mean" else block[:, channel]
    if n_read < ENOUGH * file.frames:
        raise Unusable(f"is truncated: {file.frames:,} frames announced, {n_read:,} there")


def _at_rate(pieces: Iterator[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    """Resamples a stream to the same numbers, bit for bit, as resampling all at once."""
    if rate == wanted:
        yield from pieces
        return
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float64", quality="HQ")
    for piece in pieces:
        yield stream.resample_chunk(piece)
    yield stream.resample_chunk(np.empty(0), last=True)


def _reason(path: Path, error: soundfile.SoundFileError) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "is empty (0 bytes)"
    return f"cannot be read as sound: {getattr(error, 'error_string', error)}"
