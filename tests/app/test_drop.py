"""A file that is given in the browser: the last one counts, and one that cannot be read is said to be so."""

from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest

from fusion.app import page as drawn_by
from tests.app.test_page import CHROMIUM, drawn

PAGE = Template("""<div id="place">$drop</div><script>
const element = document.getElementById("place"), props = {most: 100, value: ""}, told = [];
const trigger = () => told.push(props.value);
const held = [], read = FileReader.prototype.readAsDataURL;
FileReader.prototype.readAsDataURL = function (file) {
  const ended = new Promise((end) => this.addEventListener("loadend", () => end()));
  held.push(() => { read.call(this, file); return ended; });
};
$script
</script>""")
BASE64 = {"first": "Zmlyc3Q=", "second": "c2Vjb25k"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def place(browser: Any, tmp_path: Path) -> Any:
    """The place of a modality without the rest of the page, where reading waits for `held[n]()`."""
    script = (Path(drawn_by.__file__).parent / "drop.js").read_text("utf-8")
    html = PAGE.substitute(drop=drawn_by.DROP.replace("${label}", "image"), script=script)
    for name in BASE64:
        (tmp_path / name).write_text(name)
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.set_content(html)
    return page


def give(page: Any, *files: Path) -> None:
    for file in files:
        page.locator("input").set_input_files(file)
    page.wait_for_function(f"held.length === {len(files)}")


@drawn
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_file_that_was_given_last_counts_whichever_is_read_first(
    place: Any, tmp_path: Path, order: tuple[int, int]
) -> None:
    give(place, tmp_path / "first", tmp_path / "second")
    for at in order:
        place.evaluate("(at) => held[at]()", at)
    assert place.evaluate("told") == [f'{{"base64":"{BASE64["second"]}"}}']
    assert place.locator(".shown").inner_text() == "secondclear"


@drawn
def test_a_file_that_is_cleared_while_it_is_read_stays_away(place: Any, tmp_path: Path) -> None:
    give(place, tmp_path / "first")
    place.evaluate("held[0]()")
    place.locator("input").set_input_files(tmp_path / "second")
    place.wait_for_function("held.length === 2")
    place.get_by_text("clear").click()
    place.evaluate("held[1]()")
    assert place.evaluate("props.value") == ""
    assert place.locator(".shown").inner_text() == "Drop a file here, or choose one"


@drawn
def test_a_file_that_cannot_be_read_is_said_and_leaves_nothing(place: Any, tmp_path: Path) -> None:
    give(place, tmp_path / "first")
    place.evaluate("held[0]()")
    place.locator("input").set_input_files(tmp_path / "second")
    place.wait_for_function("held.length === 2")
    (tmp_path / "second").unlink()  # between the choice and the reading
    place.evaluate("held[1]()")
    assert place.locator(".shown").inner_text() == "second cannot be read."
    assert place.evaluate("props.value") == ""


@drawn
def test_the_error_of_an_earlier_file_is_of_no_concern(place: Any, tmp_path: Path) -> None:
    give(place, tmp_path / "first", tmp_path / "second")
    (tmp_path / "first").unlink()
    place.evaluate("held[1]()")
    place.evaluate("held[0]()")
    assert place.evaluate("props.value") == f'{{"base64":"{BASE64["second"]}"}}'
