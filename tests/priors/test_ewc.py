"""`ewc`: what mattered stays; Fisher information that does not fit is refused."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fusion import Earlier, RunError
from fusion.files import json_bytes, sha256
from fusion.priors.ewc import Ewc
from fusion.priors.information import FISHER
from fusion.signature import REQUIRED, new_key, sign

Make = Callable[..., Earlier]


def test_the_strength_is_that_of_the_fisher_information(earlier: Make) -> None:
    start = torch.tensor([1.0, -2.0, 0.0])
    prior = Ewc(earlier({"encoders.text.bias": torch.tensor([0.0, 0.5, 2.0])}), strength=4.0)
    pull = prior.pull("encoders.text.bias", start, known=True)
    assert pull is not None
    assert isinstance(pull.strength, torch.Tensor)
    assert pull.strength.tolist() == [0.0, 2.0, 8.0]
    assert pull.anchor is start


def test_what_has_no_information_of_its_shape_or_is_new_is_free(earlier: Make) -> None:
    prior = Ewc(earlier({"encoders.text.bias": torch.ones(3)}))
    assert prior.pull("encoders.audio.bias", torch.ones(3), known=True) is None
    assert prior.pull("encoders.text.bias", torch.ones(4), known=True) is None
    assert prior.pull("encoders.text.bias", torch.ones(3), known=False) is None


def test_a_file_is_taken_in_place_of_what_init_names(earlier: Make, tmp_path: Path) -> None:
    given = earlier({"fuser.bias": torch.ones(1)})
    file = (tmp_path / FISHER).rename(tmp_path / "other.safetensors")
    assert Ewc(given, fisher=str(file)).fisher.keys() == {"fuser.bias"}


def test_a_signature_covers_the_information(
    earlier: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, given = new_key(tmp_path.parent / f"{tmp_path.name}.pem"), earlier({"fuser.bias": torch.ones(1)})
    monkeypatch.setenv(REQUIRED, str(public))
    refused = f"{FISHER} is a file and carries no signature"
    with pytest.raises(RunError, match=refused):  # a folder that is no run
        Ewc(given)
    with pytest.raises(RunError, match=refused):
        Ewc(given, fisher=str(tmp_path / FISHER))
    listed = {"files": {FISHER: sha256(tmp_path / FISHER)}, "plugins": {}}
    for files, told in ({}, f"{FISHER} of .* is not in what was signed"), (listed["files"], ""):
        sign(tmp_path, json_bytes({**listed, "files": files}), public.with_suffix(""))
        with pytest.raises(RunError, match=told) if told else nullcontext():
            assert Ewc(given).fisher.keys() == {"fuser.bias"}
    with pytest.raises(RunError, match=f"{FISHER} is missing or damaged"):
        Ewc(earlier({"fuser.bias": torch.zeros(1)}))


def test_what_does_not_fit_is_refused(earlier: Make, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="there is no `init`, whose weights it would hold; give a finished run"
    ):
        Ewc(None)
    with pytest.raises(ValueError, match=r"fisher\.safetensors is not there; `fusion fisher RUN` writes it"):
        Ewc(earlier())
    with pytest.raises(
        ValueError, match=r"belongs to other weights \(SHA-256 cdcdcdcdcdcd\.\.\.\) than those"
    ):
        Ewc(earlier({"fuser.bias": torch.ones(1)}, sha256="cd" * 32))
    with pytest.raises(ValueError, match=r"fisher\.safetensors holds no Fisher information"):
        Ewc(earlier({"fuser.bias": torch.ones(1)}, sha256=None))
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"is damaged: fuser\.bias has numbers below 0 or that are not"):
            Ewc(earlier({"fuser.bias": torch.tensor([1.0, wrong])}))
    (tmp_path / FISHER).write_text("{}")
    with pytest.raises(ValueError, match=r"cannot read .*fisher\.safetensors as safetensors"):
        Ewc(earlier())
    save_file({"fuser.bias": torch.ones(1)}, tmp_path / "plain")
    with pytest.raises(ValueError, match=r"plain holds no Fisher information; `fusion fisher RUN` writes it"):
        Ewc(earlier(), fisher=str(tmp_path / "plain"))
