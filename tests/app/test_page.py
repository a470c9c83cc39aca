"""The page in a browser: samples in, answers out, and what is wrong is said."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
from fusion_digits.source import Digits
from PIL import Image

from fusion import Run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
drawn = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt install chromium")


@pytest.fixture(scope="module")
def served(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """The address of a page with an index, and its process."""
    folder = shutil.copytree(tiny_run.folder, tmp_path_factory.mktemp("app") / "run")
    words = [sys.executable, "-m", "fusion"]
    subprocess.run([*words, "index", str(folder), "--source", "test"], check=True, capture_output=True)
    home = tmp_path_factory.mktemp("temp")
    with subprocess.Popen(
        [*words, "app", str(folder), "--port", "0", "--max-mb", "0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(home)},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert " is on http://127.0.0.1:" in line, process.communicate()
            yield line.split()[-1], home
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


@pytest.fixture
def page(served: tuple[str, Path]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.elsewhere = []
        page.on(
            "request", lambda asked: page.elsewhere.append(asked.url) if _is_elsewhere(asked.url) else None
        )
        page.goto(served[0])
        page.locator("#given-image input[type=file]").wait_for(state="attached")
        yield page
        browser.close()


def _is_elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))


@drawn
def test_any_mix_is_answered_with_what_each_adds_and_what_lies_near(page: Any, tmp_path: Path) -> None:
    row = Digits(split="test")[3]
    Image.fromarray(row["image"]).save(tmp_path / "digit.png")
    soundfile.write(tmp_path / "digit.wav", *row["audio"])
    page.locator("#given-image input[type=file]").set_input_files(tmp_path / "digit.png")
    page.locator("#given-image img").wait_for()
    page.locator("#given-audio input[type=file]").set_input_files(tmp_path / "digit.wav")
    page.locator("#given-audio audio").wait_for()
    page.locator("#labels textarea").fill("one\ntwo\n\nthree ")
    page.locator("#ask").click()
    page.get_by_text("What each adds").wait_for()
    headings = page.locator("#answer h2").all_inner_texts()
    assert headings == [
        "digit",
        "image, by your words",
        "audio, by your words",
        *(f"Nearest by {name}" for name in ("image", "text", "audio")),
    ]
    chart = page.locator("#answer .chart").nth(1).inner_text().split("\n")
    assert [name for name in ("nothing", "image", "text", "audio", "all") if name in chart] == [
        "nothing",
        "image",
        "audio",
        "all",
    ]  # the text was not given
    assert page.locator("#answer li img").count() == 5
    assert page.locator("#answer li audio").count() == 5

    page.locator("#given-image button").click()  # clear
    page.locator("#ask").click()
    page.locator("#answer h2", has_text="image, by your words").wait_for(state="detached")
    assert page.locator("#answer h2", has_text="audio, by your words").count() == 1
    assert page.elsewhere == []


@drawn
def test_what_cannot_be_answered_is_said(page: Any, tmp_path: Path) -> None:
    page.locator("#ask").click()
    page.get_by_text("a row has one or more of image, text, audio").wait_for()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.locator("#given-image input[type=file]").set_input_files(tmp_path / "broken.png")
    page.locator("#given-image button").wait_for()
    page.locator("#ask").click()
    page.get_by_text("image: cannot read the image").wait_for()
    (tmp_path / "large.png").write_bytes(bytes(300_000))
    page.locator("#given-image input[type=file]").set_input_files(tmp_path / "large.png")
    page.get_by_text("large.png has 0.3 MB; at most 0.2 are taken.").wait_for()
    page.locator("#given-text textarea").fill("/etc/passwd")  # a text, whatever it looks like
    page.locator("#ask").click()
    page.locator("#answer h2", has_text="digit").wait_for()


@drawn
def test_it_fits_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("#given-text textarea").fill("seven")
    page.locator("#ask").click()
    page.get_by_text("Nearest by image").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file=http://127.0.0.1/"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1/"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/run/predict"),
        ("GET", "/assets/../../../../etc/passwd"),
        ("GET", "/monitoring"),
        ("PUT", "/"),
    ],
)
def test_nothing_else_of_the_library_is_reached(served: tuple[str, Path], method: str, path: str) -> None:
    answer = httpx.request(method, served[0] + path, timeout=30)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "there is nothing here"}


def test_a_page_elsewhere_cannot_take_its_name_for_ours(served: tuple[str, Path]) -> None:
    assert httpx.get(served[0], headers={"host": "evil.example"}, timeout=30).status_code == 421


def test_names_of_files_and_large_bodies_are_refused(served: tuple[str, Path]) -> None:
    address, home = served
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    for data in ([file], ["", {"url": "http://127.0.0.1/"}], "text", None):
        answer = httpx.post(
            f"{address}/gradio_api/queue/join", json={"data": data, "fn_index": 0}, timeout=30
        )
        assert (answer.status_code, answer.json()) == (422, {"detail": "only texts are taken"})
    large = httpx.post(f"{address}/gradio_api/queue/join", content=b" " * 1_000_000, timeout=30)
    assert large.status_code == 413
    assert not [path for path in home.rglob("*") if path.is_file()]  # nothing was kept
