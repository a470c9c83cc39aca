"""A report shows what the run folder holds, all of it escaped, and nothing that it does not hold."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

import fusion
from fusion.report.page import render

PIXEL = "data:image/png;base64,iVBORw0KGgo="
TONE = "data:audio/wav;base64,UklGRg=="
METRICS = {
    "retrieval/image->text/hit@1": 0.75,
    "retrieval/image->text/recall@10": 1.0,
    "retrieval/image->text/mrr": 0.8125,
    "retrieval/image->text/rows": 40,
    "retrieval/image->text/emergent": False,
    "retrieval/image->audio/hit@1": 0.525,
    "retrieval/image->audio/rows": 40,
    "retrieval/image->audio/emergent": True,
    "source/heard/retrieval/audio->text/hit@1": 0.65,
    "source/heard/retrieval/audio->text/rows": 20,
    "zero_shot/audio/accuracy": 0.35,
    "zero_shot/audio/rows": 40,
    "subsets/image/accuracy": 0.6,
    "subsets/image/rows": 40,
    "subsets/image+text+audio/accuracy": 0.9,
    "subsets/image+text+audio/averaged/accuracy": 0.875,
    "subsets/image+text+audio/rows": 40,
    "subsets/image/age/mae": 2.5,
    "train/seconds": 83.4,
    "train/rows_per_second": 1843.2,
    "train/rows/image+text": 12345,
    "parameters/encoders.image": 6789,
    "data/bad_rows": 21,
    "transfer/gain": 0.125,
}
EVALUATION = {
    "classes": ["zero", "<i>one</i>"],
    "modalities": ["image", "text", "audio"],
    "confusion": {"image+audio": [[17, 3], [1, 19]]},
    "map": {
        "image": {"x": [0.0, 1.0], "y": [0.0, 1.0], "label": [0, 1]},
        "text": {"x": [0.5, 2.0], "y": [0.0, 1.0], "label": [0, 1]},
        "audio": {"x": [0.0, None], "y": [1.0, 1.0], "label": [1, 0]},
    },
    "examples": [
        {
            "pair": "image->audio",
            "query": {"kind": "image", "data": PIXEL},
            "label": 1,
            "results": [
                {"media": {"kind": "audio", "data": TONE}, "label": 1, "score": 0.93},
                {"media": {"kind": "text", "data": "<script>x</script>"}, "label": 0, "score": 0.5},
                {"media": {"kind": "series", "data": [[1.0, 2.0, None, 3.0]]}, "label": None, "score": 0.25},
                {"media": {"kind": "image", "data": "http://example.org/x.png"}, "label": 0, "score": 0.125},
                {"media": {"kind": "other", "data": "array (0, 3)"}, "label": "two", "score": 0.0},
            ],
        }
    ],
}
MANIFEST = {
    "fusion": "0.1.0",
    "created": "2026-11-21",
    "plugins": {"digits": {"distribution": "fusion-bind", "version": "9.8.7"}},
    "files": {"model.safetensors": "9f86d081"},
}
RECIPE = 'width: 64  # </script></pre><script>alert("1")</script> https://example.org\n'
SECTIONS = ["results", "retrieval", "subsets", "confusion", "map", "training", "examples", "bad-rows"]
SECTIONS += ["recipe", "versions"]
VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Checks that tags nest, and collects what the tests ask for."""

    def __init__(self, html):
        super().__init__()
        self.open, self.sections, self.fetched, self.tags = [], [], [], []
        self.shown = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.fetched += [
            values[name] for name in ("src", "href", "srcset", "data", "poster") if name in values
        ]
        if tag == "section":
            self.sections.append(values["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.shown += data


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "bind & digits"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    steps = [
        {"step": s, "loss": 4 / s, "loss/align": 3 / s, "loss/digit": 1 / s, "lr": 1e-4} for s in (1, 2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "recipe.yaml").write_text(RECIPE)
    bad = [
        {"source": "seen", "row": row, "modality": "image", "reason": f"reason <{row}>"} for row in range(21)
    ]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bad))
    return folder


def opened(folder):
    return Page(render(folder).read_text(encoding="utf-8"))


def test_a_full_run_has_every_section_in_order(folder):
    assert render(folder) == folder / "report.html"
    assert opened(folder).sections == SECTIONS


def test_the_numbers_of_the_files_are_on_the_page(folder):
    shown = opened(folder).shown
    for number in [
        "75.0 %",
        "52.5 %",
        "0.8125",
        "65.0 %",
        "35.0 %",
        "90.0 %",
        "87.5 %",
        "+2.5 points",
        "2.5",
    ]:
        assert number in shown
    for number in ["12,345", "6,789", "1 min 23 s", "1,843", "0.125", "40 rows", "36 of 40 on the diagonal"]:
        assert number in shown
    for text in ["bind & digits", "emergent", "source heard", "loss/align", "9.8.7", "9f86d081", "3 steps"]:
        assert text in shown


def test_the_headline_is_a_mean_that_says_of_what(folder):
    (folder / "metrics.json").write_text(
        json.dumps({f"zero_shot/{m}/accuracy": v for m, v in [("image", 0.5), ("audio", 0.25)]})
    )
    shown = opened(folder).shown
    assert re.search(r"zero-shot accuracy\s*37\.5 %\s*mean of 2", shown)


def test_every_drawing_is_well_formed(folder):
    html = render(folder).read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(drawings) >= 7
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_texts_of_a_run_are_escaped(folder):
    page = opened(folder)
    assert "script" not in page.tags
    assert "i" not in page.tags
    assert RECIPE.strip() in page.shown
    assert "<script>x</script>" in page.shown
    assert "<i>one</i>" in page.shown
    assert "reason <19>" in page.shown


def test_nothing_is_fetched(folder):
    page = opened(folder)
    assert {PIXEL, TONE} <= set(page.fetched)
    assert all(address.startswith(("data:image/", "data:audio/", "#")) for address in page.fetched)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert "@import" not in html
    assert "url(" not in html


def test_an_image_that_is_an_address_is_shown_as_text(folder):
    assert "http://example.org/x.png" in opened(folder).shown


def test_only_the_first_twenty_bad_rows_are_listed(folder):
    shown = opened(folder).shown
    assert "Bad rows: 21" in shown
    assert "the first 20 of 21" in shown
    assert "reason <20>" not in shown


@pytest.mark.parametrize(
    ("file", "gone"),
    [
        ("metrics.jsonl", {"training"}),
        ("evaluation.json", {"confusion", "map", "examples"}),
        ("ledger.jsonl", {"bad-rows"}),
        ("recipe.yaml", {"recipe"}),
        ("manifest.json", {"versions"}),
    ],
)
def test_a_section_without_its_file_is_left_out(folder, file, gone):
    (folder / file).unlink()
    assert opened(folder).sections == [section for section in SECTIONS if section not in gone]


def test_metrics_alone_are_a_report(tmp_path):
    (tmp_path / "metrics.json").write_text('{"zero_shot/image/accuracy": 0.5}')
    page = opened(tmp_path)
    assert page.sections == ["results"]
    assert "50.0 %" in page.shown


def test_empty_metrics_are_a_report_that_claims_nothing(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    page = opened(tmp_path)
    assert page.sections == []
    assert "%" not in page.shown


def test_missing_metrics_are_an_error(tmp_path):
    with pytest.raises(
        fusion.RunError, match=r"no metrics\.json to report on; give the folder of a run that has ended"
    ):
        render(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.json", "{", r"metrics\.json: not JSON: "),
        ("metrics.json", "[1]", r"metrics\.json: a JSON object expected, not list"),
        ("metrics.jsonl", '{"step": 1}\n{"st\n{"step": 3}\n', r"metrics\.jsonl:2: not JSON: "),
        (
            "evaluation.json",
            '{"examples": [{"pair": 1}]}',
            r"evaluation\.json: examples\.0\.pair: .*; evaluate the run",
        ),
    ],
)
def test_a_damaged_file_is_an_error_and_leaves_the_old_report(folder, file, content, message):
    before = render(folder).read_text(encoding="utf-8")
    (folder / file).write_text(content)
    with pytest.raises(fusion.RunError, match=message):
        render(folder)
    assert (folder / "report.html").read_text(encoding="utf-8") == before


def test_a_last_line_that_a_killed_run_left_half_written_is_skipped(folder):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert "3 steps" in opened(folder).shown


def test_steps_that_a_resumed_run_repeats_count_once_and_losses_that_are_not_finite_are_told(folder):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "loss": NaN}\n{"step": 3, "loss": 1.0}\n')
    shown = opened(folder).shown
    assert "By training step, 3 steps" in shown
    assert "left out as not finite: 1." in shown


def test_rendering_again_gives_the_same_page_and_leaves_no_other_file(folder):
    first = render(folder).read_bytes()
    files = sorted(folder.iterdir())
    assert render(folder).read_bytes() == first
    assert sorted(folder.iterdir()) == files


def test_rendering_needs_no_torch(folder):
    code = (
        "import sys, pathlib, fusion.report.page, fusion.report.media\n"
        "fusion.report.page.render(pathlib.Path(sys.argv[1]))\n"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(folder)], check=True)


def test_a_pair_of_which_nobody_says_whether_it_met_is_not_called_trained(tmp_path):
    (tmp_path / "metrics.json").write_text('{"retrieval/image->audio/hit@1": 0.5}')
    shown = opened(tmp_path).shown
    assert "trained" not in shown
    assert "emergent" not in shown


def test_the_headline_says_how_many_modalities_were_given(folder):
    assert re.search(
        r"accuracy with 3 modalities together\s*90\.0 %\s*image\+text\+audio, 40 rows", opened(folder).shown
    )


def test_of_several_tasks_the_first_one_is_at_the_head(folder):
    metrics = {f"subsets/image/{task}/accuracy": value for task, value in (("digit", 0.875), ("near", 0.75))}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert re.search(r"accuracy with one modality\s*87\.5 %\s*digit", opened(folder).shown)
