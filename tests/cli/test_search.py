"""fusion index and fusion search: the rows of a source by their vectors, and those nearest to a row."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import torch.nn.functional as F
from PIL import Image

from fusion import Registry, Run, load
from fusion.build import build_sources
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.fixture(scope="module")
def rows(tiny_run: Run, registry: Registry) -> list[dict[str, Any]]:
    [source] = build_sources(tiny_run.recipe.evaluate.sources, registry).values()
    return [dict(source[row]) for row in range(len(source))]


@pytest.fixture(scope="module")
def indexed(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """A run with an index of its test rows. Do not write into it."""
    from accelerate import Accelerator

    from fusion.search.update import update

    folder: Path = shutil.copytree(tiny_run.folder, tmp_path_factory.mktemp("search") / "run")
    run = Run(folder)
    update(run, load(run, "cpu", registry).model, run.recipe, "test", registry, Accelerator())
    return folder


@pytest.fixture
def run(indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as `run` of the folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(indexed, "run"))


def test_an_index_is_made_and_brought_up_to_date(fusion: Fusion, tiny_run: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    made = fusion("index", "run")
    assert made.code == 0
    lines = made.out.splitlines()
    assert lines[0].split() == ["modality", "vectors", "kind", "effort", "recall@10"]
    assert [line.split() for line in lines[1:5]] == [
        [name, "64", "exact", "1", "1.000"] for name in ("image", "text", "audio", "fused")
    ]
    assert lines[-1] == "64 rows of test in run/index/test; 64 encoded, 0 taken out"
    assert fusion("index", "run").out.endswith("64 rows of test in run/index/test; nothing is new\n")
    told = fusion("index", "run", "--remove", "3,10-12", "--json").json
    assert (told["left_out"], told["gone"], told["there"]) == ("3,10-12", 4, 60)
    again = fusion("index", "run", "--add", "11", "--kind", "int8", "--source", "test")
    assert again.out.endswith("61 rows of test in run/index/test; 1 encoded, 0 taken out\n")
    assert again.out.count(" 61       int8  ") == 4
    other = fusion("index", "run", "--source", "heard", "--name", "clips")
    assert "image" not in other.out  # which no row of it has
    assert sorted(path.name for path in (folder / "index").iterdir()) == ["clips", "test"]


def test_a_row_is_found_by_each_modality(
    fusion: Fusion, run: Path, rows: list[dict[str, Any]], registry: Registry
) -> None:
    Image.fromarray(rows[3]["image"]).save("digit.png")
    soundfile.write("digit.wav", *rows[3]["audio"], subtype="FLOAT")
    given = {name: rows[3][name] for name in ("image", "text", "audio")}
    encoded = load(run, "cpu", registry).encode([{m: row[m] for m in given} for row in rows])
    flags = {"image": "--image=digit.png", "audio": "--audio=digit.wav", "text": f"--text={given['text']}"}
    classes = Run(run).recipe.classes
    for asked, flag in flags.items():
        for within in given:
            found = fusion("search", run, flag, "--in", within, "-k", 5, "--json")
            assert (found.code, found.err, found.json["index"]) == (0, "", "test")
            scores = encoded.vectors[within] @ encoded.vectors[asked][3]
            hits = found.json["hits"]
            assert [hit["score"] for hit in hits] == pytest.approx(scores.topk(5).values.tolist(), abs=1e-5)
            for hit in hits:
                assert float(scores[hit["row"]]) == pytest.approx(hit["score"], abs=1e-5)
                assert (hit["modality"], hit["source"]) == (within, "test")
                assert hit["label"] == classes[rows[hit["row"]]["label"]]
    fused = fusion("search", run, *flags.values(), "--in", "fused", "-k", 1, "--json").json["hits"]
    assert [(hit["row"], round(hit["score"], 4)) for hit in fused] == [(3, 1.0)]
    mean = F.normalize(torch.stack([encoded.vectors[m][3] for m in ("image", "text")]).sum(0), dim=0)
    both = fusion("search", run, flags["image"], flags["text"], "-k", 2, "--in", "audio", "--json").json[
        "hits"
    ]
    best = (encoded.vectors["audio"] @ mean).topk(2).values.tolist()
    assert [hit["score"] for hit in both] == pytest.approx(best, abs=1e-5)


def test_the_table_has_all_modalities_by_default(fusion: Fusion, run: Path) -> None:
    out = fusion("search", run, "--text", "seven", "-k", 192).out
    lines = [line.split() for line in out.splitlines() if line]
    assert lines[0] == ["score", "modality", "source", "row", "label"]
    assert len(lines) == 1 + 3 * 64
    assert {line[1] for line in lines[1:]} == {"image", "text", "audio"}
    scores = [float(line[0]) for line in lines[1:]]
    assert scores == sorted(scores, reverse=True)


def test_a_page_shows_what_was_found_and_needs_nothing_else(fusion: Fusion, run: Path) -> None:
    found = fusion(
        "search", run, "--text", "<b>seven</b>", "--in", "image,audio", "-k", 128, "--html", "page.html"
    )
    assert (found.code, found.out.splitlines()[-1]) == (0, "page  page.html")
    page = Path("page.html").read_text("utf-8")
    assert "&lt;b&gt;seven&lt;/b&gt;" in page
    assert page.count('<img src="data:image/') == 64
    assert page.count('<audio controls preload="metadata" src="data:audio/wav') == 64
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    fused = fusion("search", run, "--text", "seven", "--in", "fused", "-k", 1, "--html", "page.html")
    page = Path("page.html").read_text("utf-8")
    assert (fused.code, page.count("<img"), page.count("<audio"), page.count("<q>")) == (0, 1, 1, 2)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("search run", 2, "no input was given; give any of --image, --text, --audio"),
        ("search run --smell rose", 2, "'--smell' is not a modality of this run"),
        ("search run --text seven --in smell", 1, "unknown modality of the index 'smell'"),
        ("search run --text seven -k 0", 2, "0 is not in the range x>=1"),
        ("search run --text seven --index other", 1, "unknown index 'other'; known: test"),
        ("search run --text seven --html no/page.html", 1, "cannot write no/page.html"),
        ("index run --add 3 --remove 1-4", 2, "row 3 is both in --add and in --remove"),
        ("index run --remove 12-10", 2, "'12-10' are not numbers of rows such as 3,10-12"),
        ("index run --remove 3,x", 2, "'3,x' are not numbers of rows such as 3,10-12"),
        ("index run --remove 0-999999999999", 1, "source 'test' has rows 0 to 63, and no row 64"),
        ("index run --remove 0-9999999999999999999", 2, "are not numbers of rows such as 3,10-12"),
        ("index run --remove 64", 1, "source 'test' has rows 0 to 63, and no row 64"),
        ("index run --source nowhere", 1, "unknown source 'nowhere'"),
        (
            "index run evaluate.sources.test.limit=3",
            1,
            "is of 'test' with another options; give this one another",
        ),
        ("index run width=3", 2, "width cannot change after training"),
    ],
)
def test_wrong_input_is_told(words: str, code: int, told: str, fusion: Fusion, run: Path) -> None:
    found = fusion(*words.split())
    assert (found.code, told in found.err) == (code, True), found.err


def test_unreadable_rows_are_left_out_and_said(
    fusion: Fusion, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusion import decode

    monkeypatch.setattr(decode, "MAX_CHARACTERS", 0)
    found = fusion("index", run, "--add", "2,5")
    assert found.out.endswith("62 rows of test in run/index/test; nothing is new\n")
    assert "warning: 2 rows of test cannot be read, such as row 2: text: text of " in found.err


def test_an_index_is_verified_and_signed_with_its_run(
    fusion: Fusion, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fusion("verify", run).code == 0
    assert fusion("verify", run, "--json").json["unlisted"] == []
    fusion("sign", "--new-key", "team.pem")
    key = ("--public-key", "team.pem.pub", "--require-signature")
    (run / "index").rename("aside")
    fusion("sign", run, "--key", "team.pem")
    Path("aside").rename(run / "index")
    assert fusion("verify", run, *key[:2]).code == 0
    required = fusion("verify", run, *key)
    assert (required.code, "run/index/test is not signed: `fusion sign` the run again" in required.out) == (
        1,
        True,
    )
    with monkeypatch.context() as patch:
        patch.setenv("FUSION_REQUIRE_SIGNATURE", "team.pem.pub")
        assert fusion("predict", run, "--text", "seven").code == 0  # which reads no index
        refused = fusion("search", run, "--text", "seven")
        assert (refused.code, "test is not signed; a signature is required" in refused.err) == (1, True)
        signed = fusion("sign", run, "--key", "team.pem")
        assert signed.out == "Signed: run/manifest.sig, run/index/test/index.sig\n"
        assert fusion("search", run, "--text", "seven").code == 0
    assert fusion("verify", run, *key).code == 0
    record = run / "index" / "test" / "index.json"
    record.write_bytes(record.read_bytes() + b" ")
    changed = fusion("verify", run, *key[:2])
    assert (changed.code, "has a signature that was not made with the key" in changed.out) == (1, True)
    fusion("index", run, "--remove", "1")
    assert not record.with_suffix(".sig").exists()  # it was on what is no longer so


def test_a_damaged_index_is_found_and_the_run_is_whole(fusion: Fusion, run: Path) -> None:
    [path, *_] = sorted((run / "index" / "test").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    found = fusion("verify", run)
    assert (found.code, f"index/test/{path.name}" in found.out) == (1, True)
    assert (
        "An index is damaged: delete index/test of the run, and `fusion index` its source again." in found.out
    )
    assert "The run is damaged" not in found.out
    assert fusion("predict", run, "--text", "seven").code == 0
    fusion("sign", "--new-key", "team.pem")
    assert (
        f"run is damaged and not signed: index/test/{path.name}"
        in fusion("sign", run, "--key", "team.pem").err
    )
