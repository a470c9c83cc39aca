"""fusion dequantize: an ordinary run of a compressed one, and words where there is nothing to undo."""

from collections.abc import Callable

from fusion import Run
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


def test_a_compressed_run_becomes_an_ordinary_one(fusion: Fusion, tiny_run: Run) -> None:
    few = "evaluate.sources.test.limit=8"
    small = fusion(
        "compress", tiny_run.folder, few, "--with", "int8", "least=64", "--max-drop", 1, "--out", "small"
    )
    assert small.code == 0
    code, out, _ = fusion("dequantize", "small", "--out", "floats")
    assert code == 0
    assert out.endswith("run     floats\nreport  floats/report.html\n")
    assert Run("floats").recipe.name == f"{tiny_run.recipe.name}-compressed-dequantized"
    assert fusion("verify", "floats").code == 0
    again = fusion("dequantize", "floats", "--out", "other")
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("error: floats has nothing to undo (compressed: nothing was)")
