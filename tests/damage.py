"""Damages files at random, by a seed: a reader may answer with what it read or with a fault, nothing else."""

import io
import os
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from saec.faults import Fault

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0.4"))  # for each kind of file; longer by hand
SEED = int(os.environ.get("FUZZ_SEED", "0"))


class Trap:
    """What a pickle may do to whoever loads it."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple:
        return Path.touch, (self.file,)


def assert_only_faults(file: Path, read: Callable[[Path], object], refusals: tuple = (Fault,)) -> None:
    """Reads the file whole, then damaged in as many ways as the time allows; it is whole again at the end."""
    content, rng = file.read_bytes(), random.Random(SEED)
    read(file)
    until, n, n_refused = time.monotonic() + SECONDS, 0, 0
    while n < 20 or time.monotonic() < until:
        n += 1
        file.write_bytes(damaged(content, rng))
        try:
            read(file)
        except refusals:
            n_refused += 1
        except BaseException:
            kept = file.with_name(f"damaged_{n}{file.suffix}")
            kept.write_bytes(file.read_bytes())
            raise
    file.write_bytes(content)
    assert n_refused, f"none of {n} damaged files was refused"


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Returns the content, or one part of a zip, with some bytes changed, cut out, put in or doubled."""
    if not zipfile.is_zipfile(io.BytesIO(content)) or rng.random() < 0.4:
        return _damaged_bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(parts))
    at = 200 if rng.random() < 0.7 else len(parts[name])  # of an array the header
    parts[name] = _damaged_bytes(parts[name][:at], rng) + parts[name][at:]
    compression = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", compression) as archive:  # with the right checksums
            for key, part in parts.items():
                archive.writestr(key, part)
        return file.getvalue()


def _damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 50])):
        at, n = rng.randrange(len(data) or 1), rng.choice([1, 2, 4, 8, 100])
        few = len(data[at : at + n])
        ways = [
            (slice(at, at + 1), bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])),
            (slice(at, at + few), rng.randbytes(few)),
            (slice(at, at + n), b""),
            (slice(at, at), rng.randbytes(n)),
            (slice(at, None), b""),
            (slice(at, at + few), few * bytes([rng.choice([0, 127, 128, 255])])),
            (slice(at, at), bytes(data[at : at + n])),
        ]
        part, new = rng.choice(ways)
        data[part] = new
    return bytes(data)
