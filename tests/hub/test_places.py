"""What others will see of one's machine is said before it is sent."""

import json
from pathlib import Path

from fusion.hub.places import places, warning


def test_paths_are_found_wherever_they_stand(tmp_path: Path) -> None:
    recipe, manifest, config = (tmp_path / name for name in ("recipe.yaml", "manifest.json", "config.json"))
    recipe.write_text("init: ~/runs/mine\nsources: {a: {data: /home/me/a.csv, view: data/b.csv}}\n")
    weights = {"image": {"model": "/home/me/a.csv"}, "text": {"model": "me/tower", "revision": "c0ffee"}}
    manifest.write_text(
        json.dumps({"weights": weights, "/mnt/team/keys": [["retrieval/image->audio/hit@1"]]})
    )
    config.write_text(json.dumps({"note": f"read from {Path.home()}/x", "separators": ["/", "//", "~", ""]}))
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"\xff/home/me/a.csv")
    assert places([recipe, manifest, config, model]) == {
        "~/runs/mine": ["recipe.yaml"],
        "/home/me/a.csv": ["recipe.yaml", "manifest.json"],
        "/mnt/team/keys": ["manifest.json"],
        f"read from {Path.home()}/x": ["config.json"],
    }


def test_one_sentence_says_what_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps([f"/home/me/{number}" for number in range(7)]))
    assert warning([file]) == (
        "manifest.json will tell everybody of /home/me/0, /home/me/1, /home/me/2, /home/me/3, /home/me/4 and "
        "2 more, where nobody else has anything; to keep that to yourself, train with relative paths, or "
        "with names of the hub"
    )
    file.write_text("{}")
    assert warning([file]) == ""
