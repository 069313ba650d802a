"""Makes short sounds that a page can play, and small spectrograms of them."""

import base64
import io
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from matplotlib import colormaps
from PIL import Image

from saec.faults import Fault, Unusable
from saec.progress import progress
from saec.sound.files import EXACT, header, stream
from saec.sound.spectra import SPECTRA

LONGEST_S = 10.0  # of a clip
HIGHEST_RATE = 48_000  # of a clip: browsers play no more
BLOCK = 2**14  # samples that the encoder is given at once
HEIGHT, MOST_FRAMES = 64, 160  # of a small spectrogram, in pixels
QUALITY = 60  # of WebP and JPEG
COLORS = (colormaps["viridis"](np.arange(256))[:, :3] * 255).astype(np.uint8)
MB = 1e6


@dataclass(frozen=True)
class Stretch:
    """Names what a point is of: a file, seconds in it (NaN: from its start, to its end), and a band of Hz.

    `path` is where the file lies, None where it is not at hand; `band` is None where nothing says it.
    """

    file: str
    start_s: float = math.nan
    end_s: float = math.nan
    path: Path | None = None
    band: tuple[float, float] | None = None

    def read(self) -> tuple[np.ndarray, int]:
        """Returns at most `LONGEST_S` of the sound, mono, and its rate.

        Raises:
            Unusable: the file cannot be read.
        """
        about = header(self.path) if self.path else None
        if self.path is None or about is None:
            raise Unusable("cannot be opened")
        rate = min(about.samplerate, HIGHEST_RATE)
        first = 0 if math.isnan(self.start_s) else round(self.start_s * rate)
        end = math.inf if math.isnan(self.end_s) else round(self.end_s * rate)
        n = int(max(0, min(end - first, LONGEST_S * rate)))
        if about.format in EXACT or rate != about.samplerate:
            return np.concatenate([np.zeros(0), *stream(self.path, rate, "mean", first, n)]), rate
        try:  # near enough to listen to, where the exact way would decode all that comes before
            with soundfile.SoundFile(self.path) as file:
                file.seek(min(first, file.frames))
                return file.read(n, always_2d=True).mean(axis=1), rate
        except (soundfile.SoundFileError, OSError) as error:
            raise Unusable(str(error)) from error


def listen(stretches: list[Stretch], clips_mb: float, pictures_mb: float) -> tuple[list | None, list | None]:
    """Returns sounds, and small spectrograms, as data addresses ("" where a sound cannot be read).

    Either is None where all together take more than so many MB, or where no sound can be read.
    """
    made: tuple[list[str], list[str]] = ([], [])
    room = [clips_mb * MB, pictures_mb * MB]
    for stretch in progress(stretches, "sounds", len(stretches), " sounds"):
        if max(room) < 0:
            break
        sound = np.zeros(0)
        with suppress(Unusable):
            sound, rate = stretch.read() if stretch.path else (sound, 0)
        for number, address in enumerate((_ogg, _spectrogram)):
            if room[number] >= 0:
                made[number].append(address(sound, rate) if len(sound) else "")
                room[number] -= len(made[number][-1])
    clips, pictures = (all_ if room[n] >= 0 and any(all_) else None for n, all_ in enumerate(made))
    return clips, pictures


def _ogg(sound: np.ndarray, rate: int) -> str:
    written = io.BytesIO()
    loudest = max(1.0, float(np.abs(sound).max()))
    with soundfile.SoundFile(written, "w", rate, 1, "VORBIS", format="OGG") as file:
        for at in range(0, len(sound), BLOCK):
            file.write(sound[at : at + BLOCK] / loudest)
    return data_address("audio/ogg", written)


def _spectrogram(sound: np.ndarray, rate: int) -> str:
    n_fft = 2 ** max(6, round(math.log2(rate / 31)))  # some 32 ms
    hop = max(1, min(n_fft, math.ceil(len(sound) / MOST_FRAMES)))
    try:
        spectrum = SPECTRA.parse({"name": "mel", "n_fft": n_fft, "hop_length": hop, "n_mels": HEIGHT})(rate)
    except Fault:  # so low a rate that bands are empty
        spectrum = SPECTRA.parse({"name": "linear", "n_fft": 2 * HEIGHT, "hop_length": min(hop, 64)})(rate)
    levels = spectrum(torch.from_numpy(sound).float()[None], torch.tensor([len(sound)]))[0].numpy()
    picture = Image.fromarray(COLORS[(levels.clip(0, 1) * (len(COLORS) - 1)).astype(np.uint8)])
    return small_picture(picture.resize((MOST_FRAMES, HEIGHT), Image.Resampling.BOX))


def small_picture(picture: Image.Image, form: str = "webp") -> str:
    """Returns a picture as a data address."""
    written = io.BytesIO()
    picture.save(written, form, quality=QUALITY)
    return data_address(f"image/{form}", written)


def data_address(form: str, written: io.BytesIO) -> str:
    """Returns the address by which a page holds a file in itself."""
    return f"data:{form};base64," + base64.b64encode(written.getvalue()).decode("ascii")
