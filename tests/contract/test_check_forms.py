"""A processor says what strangers may give it, and one that takes texts opens none as a path."""

import os
from typing import Any

import pytest
import torch

from fusion import DataError, PluginError, Processor
from fusion.testing.forms import expect_forms


class Letters(Processor):
    takes = ("text",)

    def decode(self, raw: Any) -> Any:
        if not isinstance(raw, str):
            raise DataError("a text is expected")
        return torch.tensor([float(len(raw))])


class Opens(Letters):
    """Reads the file where there is one, and else the text."""

    def decode(self, raw: Any) -> Any:
        if os.path.isfile(raw):
            with open(raw) as file:
                return super().decode(file.read())
        return super().decode(raw)


class OnlyFiles(Opens):
    """Reads files, and says it takes texts."""

    def decode(self, raw: Any) -> Any:
        if not os.path.isfile(raw):
            raise DataError("no such file")
        return super().decode(raw)


class Formulas(Letters):
    """Reads few texts."""

    def decode(self, raw: Any) -> Any:
        raise DataError("this is no formula")


class OpensFormulas(Opens):
    """Reads few texts, and those of files."""

    def decode(self, raw: Any) -> Any:
        if not os.path.isfile(raw) and raw != "H2O":
            raise DataError("this is no formula")
        return super().decode(raw)


class Unheard(Letters):
    takes = ("url",)  # type: ignore[assignment]


class Files(OnlyFiles):
    """Opens paths, as sources give them, and takes no text of a stranger."""

    takes = ("bytes", "array")


@pytest.mark.parametrize("processor", [Letters(), Formulas(), Files()])
def test_one_that_opens_no_text_of_a_stranger_passes(processor: Processor) -> None:
    expect_forms(processor)


@pytest.mark.parametrize("processor", [Opens(), OnlyFiles()])
def test_one_that_opens_a_text_is_found(processor: Processor) -> None:
    with pytest.raises(PluginError, match="reads one otherwise where a file has it for a name"):
        expect_forms(processor)


def test_one_that_reads_few_texts_is_tried_with_one_of_them() -> None:
    expect_forms(Formulas(), [b"", "H2O"])
    with pytest.raises(PluginError, match="reads one otherwise where a file has it for a name"):
        expect_forms(OpensFormulas(), [b"", "H2O"])


def test_forms_that_there_are_not_are_found() -> None:
    with pytest.raises(
        PluginError, match=r"takes is \('url',\); expected a tuple of some of text, bytes, array"
    ):
        expect_forms(Unheard())
