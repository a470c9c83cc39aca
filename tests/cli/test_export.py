"""fusion export: from a run to a folder that answers."""

from collections.abc import Callable

from fusion import Run
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


def test_it_lists_what_it_wrote_and_how_far_it_is_from_the_run(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion("export", tiny_run.folder, "--format", "torch", "--out", "there", "evaluate.limit=3")
    assert (found.code, found.err) == (0, "")
    lines = found.out.splitlines()
    names = ["audio.pt2", "example.npz", "head.pt2", "image.pt2", "model.json", "predict.py", "text.pt2"]
    assert [line.split()[0] for line in lines[:-1]] == names
    assert lines[-1].startswith("there: on 1, 3 and 64 rows at most ")


def test_another_format_is_a_wrong_usage(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion("export", tiny_run.folder, "--format", "tflite")
    assert found.code == 2
    assert "'tflite' is not one of 'onnx', 'torch'" in found.err


def test_what_was_trained_stays(fusion: Fusion, tiny_run: Run) -> None:
    found = fusion("export", tiny_run.folder, "--format", "onnx", "width=8")
    assert found.code == 2
    assert "width cannot change after training" in found.err
