"""Sign the manifest of a run, and with it every file that it lists; and tell whether that was done.

Ed25519 (Bernstein 2011, RFC 8032) over the bytes of manifest.json; the signature, 64 bytes, lies beside it.
Keys are PEM files: PKCS 8 for the secret one, SubjectPublicKeyInfo for the public one.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.errors import RunError
from fusion.manifest import MANIFEST, SIGNATURE, faults, parse, unlisted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

REQUIRED = "FUSION_REQUIRE_SIGNATURE"
"""The environment variable with the public key by which runs have to be signed to be used."""


def new_key(path: Path) -> Path:
    """Write a secret key, which only its owner may read, and return the file of the public one beside it.

    Raises RunError where either is there already, and then writes neither.
    """
    _expect_library()
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, public = Ed25519PrivateKey.generate(), path.with_name(f"{path.name}.pub")
    secret = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    shown = key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    made: list[Path] = []
    try:
        for file, mode, content in ((path, 0o600, secret), (public, 0o644, shown)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
                made.append(file)
                opened.write(content)
    except BaseException as error:
        for file in made:
            file.unlink()
        if isinstance(error, FileExistsError):
            raise RunError(f"{error.filename} is there already; a key is never overwritten") from error
        raise
    return public


def sign(folder: Path, manifest: bytes, key: Path, name: str = MANIFEST) -> None:
    """Write a manifest, of this name, into the folder of what it lists, and the signature on it beside it.

    Raises RunError for a file that holds no secret key; then the folder is as it was.
    """
    _expect_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        secret = load_pem_private_key(_content(key), None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise RunError(f"{key} holds no secret key in PEM without a password: {error}") from error
    if not isinstance(secret, Ed25519PrivateKey):
        raise RunError(f"{key} holds another kind of key; make one of Ed25519: fusion sign --new-key FILE")
    contents = {name: manifest, signature_of(name): secret.sign(manifest)}
    for file, content in contents.items():
        (folder / f".{file}.partial").write_bytes(content)
    for file in contents:
        (folder / f".{file}.partial").replace(folder / file)


def signature_of(name: str) -> str:
    """Return the name of the signature on a manifest."""
    return Path(name).with_suffix(Path(SIGNATURE).suffix).name


def fault(folder: Path, key: Path, name: str = MANIFEST) -> str:
    """Return what is wrong with the signature on a manifest, "" if it was made with this key's secret.

    Raises RunError for a file that holds no public key.
    """
    public = _public(key)
    from cryptography.exceptions import InvalidSignature

    if not (folder / signature_of(name)).is_file():
        return "is not signed"
    try:
        public.verify((folder / signature_of(name)).read_bytes(), (folder / name).read_bytes())
    except InvalidSignature:
        return f"has a signature that was not made with the key of {key}, or not on this manifest"
    return ""


def expect_trusted(folder: Path, record: Mapping[str, Any], key: str | Path | None = None) -> None:
    """Raise RunError where files of a run are not what its manifest lists or, if so wished, not signed.

    `key` is the file of a public key; without one, that which FUSION_REQUIRE_SIGNATURE names, if it does.
    """
    for name, wrong in faults(folder, record["files"]).items():
        if wrong:
            raise RunError(
                f"{folder / name} is missing or damaged: its SHA-256 is not {record['files'][name]}, "
                "as the manifest has it"
            )
    if not expect_signed(folder, key):
        return
    # what was signed is what is on the disk, and not what was read of it before
    signed = parse((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    more = unlisted(folder, signed["files"])
    if signed != record or more:
        told = f"{', '.join(more[:3])} of {folder}" if more else f"{folder} as it was read"
        raise RunError(f"{told} is not in what was signed; delete it, or let its owner sign the run again")


def expect_signed(folder: Path, key: str | Path | None = None, name: str = MANIFEST) -> bool:
    """Return whether a signature on a manifest is required. Raises RunError where it is, and is not there.

    `key` is the file of a public key; without one, that which FUSION_REQUIRE_SIGNATURE names, if it does.
    """
    required = key or os.environ.get(REQUIRED)
    wrong = fault(folder, Path(required), name) if required else ""
    if wrong:
        raise RunError(f"{folder} {wrong}; a signature is required, so it is not used")
    return bool(required)


def expect_none_required(given: str) -> None:
    """Raise RunError for weights that carry no signature, where one is required."""
    if os.environ.get(REQUIRED):
        raise RunError(
            f"{given} is a file and carries no signature, and {REQUIRED} is set; give a signed run"
        )


def _public(path: Path) -> "Ed25519PublicKey":
    _expect_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_content(path))
    except ValueError as error:
        raise RunError(f"{path} holds no public key in PEM: {str(error)[:200]}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RunError(f"{path} holds another kind of key; a public key of Ed25519 is expected")
    return key


def _content(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read the key {key}: {error.strerror}") from error


def _expect_library() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise RunError("signatures need the library cryptography: pip install 'fusion-bind[sign]'") from error
