"""Check what a processor says of samples that strangers give."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from fusion.data.decode import Text
from fusion.encoder import Form, Processor
from fusion.errors import DataError
from fusion.testing.expect import expect, same_bits


def expect_forms(processor: Processor, samples: Sequence[Any] = ()) -> None:
    """Expect forms that there are, and of a processor that takes texts that it opens none as a path.

    The file that it should not open holds the first text of the samples, which it can read.
    """
    takes, known = processor.takes, get_args(Form)
    named = isinstance(takes, tuple) and set(takes) <= set(known)
    expect(named, f"takes is {takes!r}", f"a tuple of some of {', '.join(known)}")
    if "text" not in takes:
        return
    words = next((sample for sample in samples if isinstance(sample, str)), "what a path must not lead to")
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(words.encode("utf-8"))
        file.flush()
        there = _read(processor, file.name)
    gone = _read(processor, file.name)
    same = there == gone if there is None or gone is None else same_bits(there, gone)
    expect(
        same and not Path(file.name).exists(),
        "it takes texts, and reads one otherwise where a file has it for a name",
        "a text that stays one, whatever it says",
    )


def _read(processor: Processor, text: str) -> Mapping[str, Any] | None:
    try:
        inputs: dict[str, Tensor] = processor.collate([processor.decode(Text(text))])
    except DataError:
        return None
    return inputs
