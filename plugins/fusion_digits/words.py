"""Name a digit in words: short English phrases that fit a scan as well as a clip."""

from zlib import crc32

from fusion_digits.corpus import Split

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# No phrase says "written" or "spoken", or the text would tell which modality it came with.
TEMPLATES = (
    "{word}",
    "the digit {word}",
    "the number {word}",
    "this is {word}",
    "it says {word}",
    "the figure {numeral}",
    "number {numeral}",
    "digit {numeral}, {word}",
    "{word}, that is {numeral}",
    "a clear {word}",
)
HELD_OUT = ("here we have {word}", "what you get is a {numeral}")  # phrases that only the test split uses


def phrase(split: Split, index: int, label: int) -> str:
    """Word the label of a row; which template it gets depends on nothing but the split and the index."""
    templates = TEMPLATES + HELD_OUT if split == "test" else TEMPLATES
    template = templates[crc32(f"{split} {index}".encode()) % len(templates)]
    return template.format(word=WORDS[label], numeral=label)
