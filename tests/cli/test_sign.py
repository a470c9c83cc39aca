"""fusion sign, and what fusion verify says of signatures."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fusion import Run
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(tiny_run.folder, "run"))


def test_a_run_is_signed_and_verified(fusion: Fusion, run: Path) -> None:
    made = fusion("sign", "--new-key", "team.pem")
    assert (made.code, made.err) == (0, "")
    assert made.out == "team.pem is the secret key: keep it. team.pem.pub is for those who check.\n"
    assert Path("team.pem").stat().st_mode & 0o077 == 0
    before = fusion("verify", run, "--public-key", "team.pem.pub")
    assert (before.code, before.out.splitlines()[-1]) == (0, "run is not signed.")
    assert fusion("verify", run, "--public-key", "team.pem.pub", "--require-signature").code == 1
    assert fusion("sign", run, "--key", "team.pem").out == "Signed: run/manifest.sig\n"
    found = fusion("verify", run, "--public-key", "team.pem.pub", "--require-signature")
    assert (found.code, found.out.splitlines()[-1]) == (0, "Signed with the key of team.pem.pub.")
    told = fusion("verify", run, "--public-key", "team.pem.pub", "--json").json
    assert (told["signed"], told["signature"], told["trusted"], told["unlisted"]) == (True, "", True, [])
    # and as anybody would check it, without fusion
    public = load_pem_public_key(Path("team.pem.pub").read_bytes())
    public.verify((run / "manifest.sig").read_bytes(), (run / "manifest.json").read_bytes())  # type: ignore[union-attr,call-arg]


def test_a_wrong_signature_is_damage(fusion: Fusion, run: Path) -> None:
    for name in ("ours.pem", "theirs.pem"):
        fusion("sign", "--new-key", name)
    fusion("sign", run, "--key", "theirs.pem")
    found = fusion("verify", run, "--public-key", "ours.pem.pub")
    assert found.code == 1
    assert "run has a signature that was not made with the key of ours.pem.pub" in found.out
    assert fusion("verify", run).code == 0  # which compares with no key
    assert "Signed; whether by whom you expect, `--public-key FILE` tells." in fusion("verify", run).out


def test_a_file_that_is_not_listed_is_told_and_signed_as_well(fusion: Fusion, run: Path) -> None:
    fusion("sign", "--new-key", "team.pem")
    (run / "compression.json").write_text("[]")
    (run / "export" / "torch").mkdir(parents=True)
    (run / "export" / "torch" / "head.pt2").write_text("")  # which nobody vouches for
    assert "Not in the manifest: compression.json." in fusion("verify", run).out
    assert fusion("verify", run).code == 0
    signed = fusion("sign", run, "--key", "team.pem")
    assert signed.out.startswith("Added to the manifest: compression.json.\n")
    assert fusion("verify", run, "--public-key", "team.pem.pub", "--require-signature").code == 0
    (run / "compression.json").write_text("[1]")
    assert "compression.json" in fusion("verify", run).out
    assert fusion("verify", run).code == 1
    (run / "compression.json").write_text("[]")
    (run / "later.json").write_text("[]")
    required = fusion("verify", run, "--public-key", "team.pem.pub", "--require-signature")
    assert (required.code, fusion("verify", run, "--public-key", "team.pem.pub").code) == (1, 0)


def test_a_wrong_key_leaves_the_signature_as_it_was(
    fusion: Fusion, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fusion("sign", "--new-key", "team.pem")
    fusion("sign", run, "--key", "team.pem")
    (run / "compression.json").write_text("[]")
    names = ("manifest.json", "manifest.sig")
    before = [(run / name).read_bytes() for name in names]
    wrong = fusion("sign", run, "--key", "team.pem.pub")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    missing = fusion("sign", run, "--key", "team.pem")
    assert (wrong.code, wrong.out, missing.code, missing.out) == (1, "", 1, "")
    assert "signatures need the library cryptography" in missing.err
    assert [(run / name).read_bytes() for name in names] == before


def test_fisher_information_is_signed_too(fusion: Fusion, run: Path) -> None:
    fusion("sign", "--new-key", "team.pem")
    fusion("sign", run, "--key", "team.pem")
    assert "run was signed without this; `fusion sign` it again" in fusion("fisher", run, "--rows", 2).err
    signed = fusion("sign", run, "--key", "team.pem")
    assert signed.out.startswith("Added to the manifest: fisher.safetensors.\n")


def test_what_is_not_whole_is_not_signed(fusion: Fusion, run: Path) -> None:
    fusion("sign", "--new-key", "team.pem")
    recipe = run / "recipe.yaml"
    recipe.write_bytes(recipe.read_bytes() + b"#")
    refused = fusion("sign", run, "--key", "team.pem")
    assert refused.code == 1
    assert "run is damaged and not signed: recipe.yaml; `fusion verify run` tells more" in refused.err
    (run / "manifest.json").unlink()
    unfinished = fusion("sign", run, "--key", "team.pem")
    assert (unfinished.code, "the run is not finished" in unfinished.err) == (1, True)
    assert not (run / "manifest.sig").exists()


def test_a_loading_command_asks_for_the_signature(
    fusion: Fusion, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fusion("sign", "--new-key", "team.pem")
    monkeypatch.setenv("FUSION_REQUIRE_SIGNATURE", "team.pem.pub")
    refused = fusion("predict", run, "--text", "seven")
    assert (refused.code, refused.out) == (1, "")
    assert "run is not signed; a signature is required, so it is not used" in refused.err
    fusion("sign", run, "--key", "team.pem")
    assert fusion("predict", run, "--text", "seven").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("sign", "give the run and --key FILE, or --new-key FILE"),
        ("sign run", "give the run and --key FILE"),
        ("sign run --new-key a.pem", "--new-key makes keys and signs nothing"),
        ("verify run --require-signature", "--require-signature needs the key to compare with"),
    ],
)
def test_wrong_usage_is_told(words: str, told: str, fusion: Fusion, run: Path) -> None:
    found = fusion(*words.split())
    assert (found.code, told in found.err) == (2, True)


def test_a_key_that_is_not_there_is_told(fusion: Fusion, run: Path) -> None:
    for words in (("sign", run, "--key", "none.pem"), ("verify", run, "--public-key", "none.pem")):
        found = fusion(*words)
        assert (found.code, found.err) == (
            1,
            "error: cannot read the key none.pem: No such file or directory\n",
        )
