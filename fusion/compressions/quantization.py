"""What compressions that keep matrices as integers share: which matrices, and the way there and back."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from fusion.compression import Compression
from fusion.compressions.computed import why_nothing
from fusion.errors import unknown
from fusion.model import Model
from fusion.quantization.held import hold, matrices, parameter, rehearse, release, settle
from fusion.quantization.rounding import Form


class Quantization(Compression):
    """Keeps matrices of at least `least` numbers in a form, except in the modules that `skip` names.

    The record has their names. While a model learns they are rounded at every use, and so is what they are
    multiplied with; the gradient goes through both unchanged (Jacob et al. 2018, section 3).
    """

    def __init__(self, form: Form, least: int, multiplied: int, skip: Sequence[str]) -> None:
        self.form, self.least, self.multiplied, self.skip = form, least, multiplied, skip

    def apply(self, model: Model) -> dict[str, Any]:
        for module in model.modules():
            release(module, learning=True)
        names = []
        for name, module, matrix in self._chosen(model):
            names.append(f"{name}.{matrix}")
            try:
                hold(module, matrix, self.form, self.multiplied)
            except ValueError as error:
                raise ValueError(f"{names[-1]}: {error}") from error
        if not names:
            raise ValueError(
                f"no matrix has least={self.least} numbers; lower it, or skip less{why_nothing(model)}"
            )
        settle(model)
        return {"weights": names}

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        offered = {f"{name}.{matrix}": (module, matrix) for name, module, matrix in matrices(model, 1)}
        for name in record["weights"]:
            module, matrix = offered[name]
            parameter(module, matrix).detach().zero_()  # whatever it was built with
            hold(module, matrix, self.form, self.multiplied)
        settle(model)

    def expand(self, model: Model, record: Mapping[str, Any]) -> None:
        for name in record["weights"]:
            release(model.get_submodule(name.rpartition(".")[0]))
        settle(model)

    def prepare(self, model: Model, step: int, steps: int) -> None:
        if step == 0:
            if not (chosen := self._chosen(model)):
                raise ValueError(self._nothing(model))
            for _, module, matrix in chosen:
                rehearse(module, matrix, self.form, self.multiplied)
            settle(model)

    def conclude(self, model: Model) -> None:
        for module in model.modules():
            release(module, learning=True)
        settle(model)

    def _nothing(self, model: Model) -> str:
        return f"no matrix has least={self.least} numbers; lower it, or skip less{why_nothing(model)}"

    def _chosen(self, model: Model) -> list[tuple[str, nn.Module, str]]:
        """Return what is to be rounded. Raises ValueError for a module to skip that there is not."""
        known = dict(model.named_modules())
        for name in self.skip:
            if name not in known:
                raise ValueError(unknown("module to skip", name, filter(None, known)))
        skipped = {module for name in self.skip for module in known[name].modules()}
        return [found for found in matrices(model, self.least) if found[1] not in skipped]
