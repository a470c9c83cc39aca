"""The source `sensor-digits`: digits drawn in the air, with words or with sounds that name them."""

from typing import Any, Literal

from fusion import DataError, Registry
from fusion_sensor.strokes import TIMES, WRITERS, Split, trace

View = Literal["sensor", "sensor-text", "sensor-audio"]
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = ("{}", "the digit {}", "the number {}", "this is {}")


class SensorDigits:
    """Synthetic traces of an accelerometer, (samples, 3) at 50 Hz, of 24 writers to train and 8 to test.

    Rows hold `sensor`, `label` and what `view` names beside the sensor: `text`, or (to test only) an
    `audio` clip of the same digit from the source `digits`. `limit` keeps the first rows.
    """

    def __init__(
        self, *, view: View = "sensor-text", split: Split = "train", limit: int | None = None
    ) -> None:
        if view == "sensor-audio" and split != "test":
            raise DataError("sensor-digits: sensor and audio meet in the test split only; set split: test")
        self.view = view
        self.split = split
        self.size = len(WRITERS[split]) * TIMES * 10
        self.size = min(self.size, limit or self.size)
        self.clips = _clips() if view == "sensor-audio" else []

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.size:
            raise IndexError(f"sensor-digits: row {index} of {self.size}")
        label = index % 10
        row: dict[str, Any] = {"sensor": trace(self.split, index), "label": label}
        if self.view == "sensor-text":
            row["text"] = TEMPLATES[index // 10 % len(TEMPLATES)].format(WORDS[label])
        if self.view == "sensor-audio":
            same_digit = self.clips[label]
            row["audio"] = same_digit[index // 10 % len(same_digit)]
        return row


def _clips() -> list[list[Any]]:
    """Return the test clips of each digit, from the source of another plugin."""
    digits = Registry().find("source", "digits").component.resolve()(view="audio", split="test")
    rows = [digits[place] for place in range(len(digits))]
    return [[row["audio"] for row in rows if row["label"] == label] for label in range(10)]
