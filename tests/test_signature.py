"""Signatures of runs: every changed byte, the wrong key, and another run's signature are found."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from fusion import Registry, Run, RunError, load
from fusion.files import sha256
from fusion.signature import REQUIRED, fault, new_key, sign
from fusion.transfer.initial import weights_of


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    secret = tmp_path / "key.pem"
    return secret, new_key(secret)


@pytest.fixture
def signed(tmp_path: Path, tiny_run: Run, keys: tuple[Path, Path]) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    sign(folder, (folder / "manifest.json").read_bytes(), keys[0])
    return folder


def test_a_signed_run_is_loaded_and_gives_what_it_gave(
    signed: Path, keys: tuple[Path, Path], tiny_run: Run, registry: Registry
) -> None:
    rows = [{"text": "seven"}, {"text": "two"}]
    first, second = (
        load(run, "cpu", registry, require_signature=key).encode(rows)
        for run, key in ((signed, keys[1]), (tiny_run, None))
    )
    assert torch.equal(first.fused, second.fused)


def test_the_secret_key_is_for_its_owner_only_and_never_overwritten(keys: tuple[Path, Path]) -> None:
    secret, public = keys
    assert secret.stat().st_mode & 0o777 == 0o600
    assert public.name == "key.pem.pub"
    with pytest.raises(RunError, match=r"key\.pem(\.pub)? is there already; a key is never overwritten"):
        new_key(secret)
    before, other = secret.read_bytes(), public.read_bytes()
    public.unlink()
    with pytest.raises(RunError, match=r"key\.pem is there already"):
        new_key(secret)
    assert (secret.read_bytes(), public.exists()) == (before, False)
    public.write_bytes(other)
    secret.unlink()
    with pytest.raises(RunError, match=r"key\.pem\.pub is there already"):
        new_key(secret)
    assert (public.read_bytes(), secret.exists()) == (other, False)


def test_the_signature_is_that_of_rfc_8032(tmp_path: Path) -> None:
    """Test 2 of section 7.1: the message is the one byte 0x72."""
    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    form = forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
    (tmp_path / "key").write_bytes(key.private_bytes(*form))
    sign(tmp_path, b"\x72", tmp_path / "key")
    assert (tmp_path / "manifest.sig").read_bytes().hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@pytest.mark.parametrize("name", ["model.safetensors", "recipe.yaml", "manifest.json", "manifest.sig"])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_flipped_bit_of_any_file_is_found(
    name: str, place: float, signed: Path, keys: tuple[Path, Path], registry: Registry
) -> None:
    content = bytearray((signed / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (signed / name).write_bytes(content)
    with pytest.raises(RunError, match=r"is missing or damaged|has a signature that was not made|is damaged"):
        load(signed, "cpu", registry, require_signature=keys[1])


def test_a_manifest_that_fits_changed_files_has_no_signature(
    signed: Path, keys: tuple[Path, Path], registry: Registry
) -> None:
    """Whoever may write into the folder may write the SHA-256 too; the signature they cannot write."""
    recipe = signed / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("seed: 0", "seed: 1"))
    record = Run(signed).manifest
    assert record["files"]["recipe.yaml"] != sha256(recipe)
    record["files"]["recipe.yaml"] = sha256(recipe)
    Run(signed).write_json("manifest.json", record)
    load(signed, "cpu", registry)  # without a signature nobody can tell
    with pytest.raises(RunError, match=r"has a signature that was not made with the key of .*key\.pem\.pub"):
        load(signed, "cpu", registry, require_signature=keys[1])


def test_another_key_no_signature_and_that_of_another_run_are_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path, registry: Registry
) -> None:
    other = new_key(tmp_path / "other.pem")
    assert fault(signed, keys[1]) == ""
    assert "was not made with the key of" in fault(signed, other)
    kept = (signed / "manifest.sig").read_bytes()
    record = Run(signed).manifest
    Run(signed).write_json("manifest.json", {**record, "seed": record["seed"] + 1})
    assert "or not on this manifest" in fault(signed, keys[1])
    sign(signed, (signed / "manifest.json").read_bytes(), keys[0])
    assert fault(signed, keys[1]) == ""
    (signed / "manifest.sig").write_bytes(kept)
    assert "or not on this manifest" in fault(signed, keys[1])
    (signed / "manifest.sig").unlink()
    with pytest.raises(RunError, match=r"run is not signed; a signature is required, so it is not used"):
        load(signed, "cpu", registry, require_signature=keys[1])


@pytest.mark.parametrize("name", ["compression.json", "encoders/text/vocabulary.json", "encoders/.hidden"])
def test_a_file_that_was_added_is_not_covered_and_refused(
    name: str, signed: Path, keys: tuple[Path, Path], registry: Registry
) -> None:
    (signed / name).parent.mkdir(parents=True, exist_ok=True)
    (signed / name).write_text("{}")
    with pytest.raises(RunError, match=rf"{name} of .*run is not in what was signed; delete it, or let"):
        load(signed, "cpu", registry, require_signature=keys[1])


@pytest.mark.parametrize(
    "name", ["metrics.json", "report.html", "ledger.jsonl", "checkpoints/step-1/x", "export/torch/a.pt2"]
)
def test_what_is_written_later_and_not_loaded_may_change(
    name: str, signed: Path, keys: tuple[Path, Path], registry: Registry
) -> None:
    (signed / name).parent.mkdir(parents=True, exist_ok=True)
    (signed / name).write_text("{}")
    load(signed, "cpu", registry, require_signature=keys[1])


def test_the_environment_asks_for_signatures_wherever_a_run_is_used(
    signed: Path,
    keys: tuple[Path, Path],
    tiny_run: Run,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRED, str(keys[1]))
    load(signed, "cpu", registry)
    weights_of(Run(signed), registry)
    uses: list[Callable[[], object]] = [
        lambda: load(tiny_run, "cpu", registry),
        lambda: weights_of(tiny_run, registry),
    ]
    for use in uses:
        with pytest.raises(RunError, match="is not signed; a signature is required"):
            use()


def test_files_that_are_no_keys_are_told(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    secret, public = keys
    with pytest.raises(RunError, match=r"key\.pem\.pub holds no secret key in PEM"):
        sign(signed, b"", public)
    with pytest.raises(RunError, match=r"key\.pem holds no public key in PEM"):
        fault(signed, secret)
    rsa_key = rsa.generate_private_key(65537, 2048)
    form = forms.Encoding.PEM, forms.PrivateFormat.PKCS8
    (tmp_path / "rsa").write_bytes(rsa_key.private_bytes(*form, forms.NoEncryption()))
    (tmp_path / "locked").write_bytes(rsa_key.private_bytes(*form, forms.BestAvailableEncryption(b"x")))
    with pytest.raises(RunError, match="rsa holds another kind of key; make one of Ed25519"):
        sign(signed, b"", tmp_path / "rsa")
    with pytest.raises(RunError, match="locked holds no secret key in PEM without a password"):
        sign(signed, b"", tmp_path / "locked")
