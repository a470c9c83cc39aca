"""Speak the ten digits in 32 voices and three accents with espeak-ng: how spoken.flac was made.

    python -m fusion_digits.speak [FOLDER]

Needs the programme espeak-ng (1.51 made the shipped files) and takes a few seconds. Running it
again with the same espeak-ng, soxr and libsndfile gives the same bytes.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, product
from pathlib import Path
from zlib import crc32

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-gb-x-rp", "en-gb-scotland")  # not en-gb: 1.51 ignores the variant there
# Left out by measurement: variants that a classifier trained on the others misheard (iven2, Alicia, zac,
# Lee, kaukovalta, shelby, whisperf ...), and second names of one voice (caleb, klatt, klatt6).
TRAIN_VOICES = (
    *("f1", "f2", "f4", "f5", "Annie", "anika", "belinda", "steph"),
    *("m1", "m2", "m3", "m5", "m6", "m8", "adam", "Diogo"),
    *("Gene", "Mario", "Mike", "boris", "iven", "john", "sandro", "victor"),
)
TEST_VOICES = ("f3", "aunty", "grandma", "linda", "m4", "m7", "Denis", "pablo")
VOICES = TRAIN_VOICES + TEST_VOICES

RATE = 8000  # Hz
SPOKEN_RATE = 22050  # Hz, what espeak-ng writes
WAV_HEADER = 44  # bytes; its length field is meaningless on a pipe, so no WAV reader is asked
MARGIN = RATE // 40  # samples kept before and after the sound: 25 ms
QUIET = 0.01  # of the peak: what counts as silence
PEAK = 0.7  # of full scale
STEP = 16  # 12 of the 16 bits are used: takes a third off the file, which would be 4.7 MB


def clip(digit: int, voice: str, accent: str) -> NDArray[np.int16]:
    """Speak one digit: samples at 8 kHz, trimmed and normalised, with a speed and a pitch of its own."""
    draw = np.random.RandomState(crc32(f"{digit} {voice} {accent}".encode()))
    speed, pitch = draw.randint(140, 186), draw.randint(35, 66)  # words a minute; 0..99
    command = f"espeak-ng -v {accent}+{voice} -s {speed} -p {pitch} --stdout {WORDS[digit]}"
    # no shell, and the words are those of this file
    wav = subprocess.run(command.split(), check=True, capture_output=True).stdout  # nosec B603
    sound = np.frombuffer(wav[WAV_HEADER:], "<i2").astype(np.float64)
    sound = soxr.resample(sound, SPOKEN_RATE, RATE)
    loud = np.flatnonzero(np.abs(sound) > QUIET * np.abs(sound).max())
    sound = sound[max(0, loud[0] - MARGIN) : loud[-1] + 1 + MARGIN]
    steps: NDArray[np.float64] = np.round(sound * (PEAK * 32768 / STEP / np.abs(sound).max()))
    return (steps * STEP).astype(np.int16)


def main(folder: Path) -> None:
    """Write spoken.flac, all clips end to end, and spoken.json, which says where each one lies."""
    spoken = [(digit, voice, accent) for accent, voice, digit in product(ACCENTS, VOICES, range(10))]
    with ThreadPoolExecutor(2) as pool:
        clips = list(pool.map(lambda row: clip(*row), spoken))
    assert len({sound.tobytes() for sound in clips}) == len(
        clips
    )  # an ignored variant shows as a repeated clip
    stops = list(accumulate(map(len, clips)))
    rows = [
        [stop - len(sound), stop, digit, voice, accent, "test" if voice in TEST_VOICES else "train"]
        for sound, stop, (digit, voice, accent) in zip(clips, stops, spoken, strict=True)
    ]
    soundfile.write(folder / "spoken.flac", np.concatenate(clips), RATE, "PCM_16", compression_level=1.0)
    asked = ["espeak-ng", "--version"]
    version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout  # nosec B603
    head = {
        "engine": version.split("  Data at")[0].strip(),  # the rest is a path of the machine
        "rate": RATE,
        "columns": ["start", "stop", "digit", "voice", "accent", "split"],
    }
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (folder / "spoken.json").write_text(f'{json.dumps(head)[:-1]}, "clips": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
