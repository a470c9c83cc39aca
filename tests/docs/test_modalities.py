"""The page on modalities is true: its commands are executed, and its recipes trained on such rows."""

import io
import re
import shlex
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from fusion import Registry, read_recipe, train
from fusion.cli import cli
from fusion.picks import shrink

PAGE = (Path(__file__).parents[2] / "docs/modalities.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
COMMANDS = [line[2:] for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
RECIPES = {text.split()[1]: text for kind, text in BLOCKS if kind == "yaml"}


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the recipes of the page, and the rows that they read."""
    monkeypatch.chdir(tmp_path)
    for name, text in RECIPES.items():
        Path(name).write_text(text, "utf-8")
    Path("films").mkdir()
    for number in range(8):
        Path(f"films/{number}.mkv").write_bytes(_film(3 + number))
    rows = "\n".join(f"{number}.mkv,film {number}" for number in range(8))
    Path("films/films.csv").write_text(f"video,text\n{rows}\n")
    Path("clips").mkdir()
    for number in range(8):
        np.save(f"clips/{number}.npy", np.random.default_rng(number).standard_normal((2 + number, 5)))
    rows = "\n".join(f"{number}.npy,clip {number}" for number in range(8))
    Path("clips/clips.csv").write_text(f"file,text\n{rows}\n")
    Path("passengers").mkdir()
    rows = "\n".join(f"{20 + n},{'' if n % 3 else n},{'AB'[n % 2]},{n % 3},{n % 2}" for n in range(12))
    Path("passengers/train.csv").write_text(f"age,fare,port,deck,label\n{rows}\n")


def _film(frames: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 9 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


def test_there_is_something_to_test() -> None:
    assert len(COMMANDS) > 6
    assert RECIPES.keys() == {"films.yaml", "passengers.yaml", "opinions.yaml", "clips.yaml", "moving.yaml"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_what_it_says(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    assert command.startswith("fusion ")
    small = ["train.steps=2", "evaluate.sources.test.rows=8"]
    if words[0] == "evaluate":  # of a run that another command has trained
        trained = f"{Path(words[1]).name}.yaml"
        CliRunner().invoke(cli, ["train", trained, "--out", words[1], *small], obj=Registry())
        words += ["--kinds", "video-cut-short"] if "corruption" in words else []
    words += small if words[0] == "train" else []
    done = CliRunner().invoke(cli, words, obj=Registry())
    assert done.exit_code == 0, (done.output, done.exception)


@pytest.mark.parametrize("name", ["films.yaml", "passengers.yaml", "clips.yaml"])
def test_a_recipe_trains(name: str, tmp_path: Path) -> None:
    smaller = ["encoders.video.frames.model=test_resnet"] if name == "films.yaml" else []
    recipe = read_recipe(name, ["train.steps=2", *smaller])
    run = train(recipe, tmp_path / "run")
    assert run.metrics["data/bad_rows"] == 0
    tiny = train(shrink(recipe, Registry()), tmp_path / "tiny")
    if name == "clips.yaml":
        assert len(run.recipe.encoders["features"].options["mean"]) == 5
    if name == "passengers.yaml":
        for done in (run, tiny):
            options = done.recipe.encoders["table"].options
            assert options["numeric"].keys() == {"age", "fare"}
            assert options["numeric"]["fare"] == [4.5, pytest.approx(np.std([0, 3, 6, 9]), rel=1e-5)]
            assert {name: sorted(words) for name, words in options["categories"].items()} == {
                "port": ["A", "B"],
                "deck": ["0", "1", "2"],
            }
