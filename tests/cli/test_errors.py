"""What a user does wrong is answered in one message, without a traceback, and by the exit code."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Run
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]
CASES = {
    "train bindigits": r"unknown recipe 'bindigits'; did you mean 'bind_digits'? known: ",
    "train no/such.yaml": "no/such.yaml: no such file; give the name or the path of a recipe",
    "train wrong.yaml": "wrong.yaml:2: tran: unknown key 'tran'; did you mean 'train'? known: ",
    "train bind_digits train.step=3": "train.step: unknown key 'step'; did you mean 'steps'? known: ",
    "train bind_digits encoders.image.name=scratch-imag": "did you mean 'scratch-image'? known: ",
    "train bind_digits fuser.name=attend fuser.head=2": (
        "unknown option of attend 'head'; did you mean 'heads'? known: "
    ),
    "train bind_digits train.steps": "train.steps: an override is written path=value",
    "train bind_digits --tiny --out taken": "taken exists; continue it with --resume, or choose another",
    "train bind_digits --resume": "nothing to resume: there is no runs/bind_digits",
    "check bindigits": "unknown recipe 'bindigits'; did you mean 'bind_digits'? known: ",
    "evaluate nowhere": "nowhere is not a run: it has no recipe.yaml; a run is what `fusion train` leaves",
    "predict nowhere --text one": "nowhere is not a run: it has no recipe.yaml",
    "embed nowhere -o out.parquet": "nowhere is not a run: it has no recipe.yaml",
    "report nowhere": "nowhere: no metrics.json to report on; give the folder of a run that has ended",
    "predict RUN --image no.png": "image: no such file: no.png",
    "predict RUN --image broken.png": "image: cannot read the image (broken.png)",
    "predict RUN --audio broken.png": "audio: cannot read the sound (broken.png)",
    "predict RUN --text=": "text: the text is empty",
    "predict RUN --text one --explain --html taken/no/why.html": "cannot write taken/no/why.html: ",
    "predict RUN --text one --explain --nearest 1 --source sene": "unknown source 'sene'; did you mean",
    "embed RUN --source tst -o out.parquet": "unknown source 'tst'; did you mean 'test'? known: ",
    "embed RUN -o no/out.parquet": "cannot write no/out.parquet: ",
    "evaluate RUN evaluate.sources.test.nose=1": "unknown option of digits 'nose'; did you mean 'noise'?",
    "recipes show bindigits": "unknown recipe 'bindigits'; did you mean 'bind_digits'? known: ",
}
WRONG_USAGE = {
    "trian bind_digits": "No such command 'trian'.",
    "train": "Missing argument 'RECIPE'.",
    "train bind_digits --stpes 3": "No such option",
    "embed RUN": "Missing option '-o' / '--out'.",
    "embed RUN width=3 -o out.parquet": "'width=3': width cannot change after training",
    "evaluate RUN encoders.image.dim=3": "'encoders.image.dim=3': encoders cannot change after training",
    "predict RUN": "no input was given; give any of --image, --text, --audio",
    "predict RUN --imgae x.png": "'--imgae' is not a modality of this run; known: --image, --text, --audio",
    "predict RUN seven.png": "'seven.png' is not a modality of this run; known: --image, --text, --audio",
    "predict RUN --image": "--image needs a value: a file or a text",
    "predict RUN --text one --text two": "--text is given twice; this answers for one row",
    "predict RUN --text one --html why.html": "--html and --nearest go with --explain",
    "predict RUN --text one --explain --source seen": "--source and --embedded go with --nearest",
    "predict RUN --text one --zero-shot": "--zero-shot names classes by text; give another modality too",
}


@pytest.fixture
def called(fusion: Fusion, tiny_run: Run) -> Callable[[str], Outcome]:
    def call(line: str) -> Outcome:
        Path("taken").mkdir()
        Path("taken/mine.txt").write_text("mine", "utf-8")
        Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
        Path("wrong.yaml").write_text("train: {steps: 1}\ntran: {steps: 1}\n", "utf-8")
        return fusion(*(tiny_run.folder if word == "RUN" else word for word in line.split()))

    return call


@pytest.mark.parametrize("line", CASES)
def test_an_error_is_one_message_and_exit_code_1(called: Callable[[str], Outcome], line: str) -> None:
    found = called(line)
    assert (found.code, found.out) == (1, "")
    assert found.err.count("error: ") == 1
    assert found.err.startswith("error: ")
    assert CASES[line] in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize("line", WRONG_USAGE)
def test_wrong_usage_is_exit_code_2_and_shows_the_usage(called: Callable[[str], Outcome], line: str) -> None:
    found = called(line)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("Usage: fusion")
    assert found.err.count("Error: ") == 1
    assert WRONG_USAGE[line] in found.err


def test_a_missing_plugin_is_named_with_its_distribution(
    fusion: Fusion, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSION_BLOCK", "scratch")
    for command in (["evaluate"], ["predict", "--text=one"], ["embed", "-o", "out.parquet"]):
        found = fusion(command[0], tiny_run.folder, *command[1:])
        assert found.code == 1
        assert found.err.startswith("error: unknown encoder 'scratch-image'")
        assert "blocked by FUSION_BLOCK: scratch" in found.err
        assert "was trained with these plugins: " in found.err
        assert "scratch (fusion-bind 0.1.0)" in found.err


def test_a_folder_that_cannot_be_written_is_one_message(fusion: Fusion) -> None:
    Path("file").write_text("", "utf-8")
    found = fusion("train", "bind_digits", "--tiny", "--out", "file/run")
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("error: ")
    assert found.err.endswith("Not a directory: 'file/run'\n")


def test_an_unfinished_run_says_how_to_go_on(fusion: Fusion, tiny_run: Run) -> None:
    shutil.copytree(tiny_run.folder, "half")
    Path("half/manifest.json").unlink()
    found = fusion("predict", "half", "--text", "one")
    assert found.code == 1
    assert found.err == "error: half has no manifest.json: the run is not finished; `--resume` it\n"


def test_only_the_first_rank_reports_an_error(fusion: Fusion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert fusion("train", "bindigits") == (1, "", "")
