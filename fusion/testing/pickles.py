"""Find out whether something can be sent to loader workers: picklable, small, and without weights."""

import io
import pickle
from typing import Any

from torch import Tensor, nn

from fusion.errors import PluginError
from fusion.testing.expect import expect

LIMIT = 64  # MiB; large tokenizers have 20


def travel(what: str, given: Any) -> bytes:
    """Return the pickle of a processor or a source. Raises PluginError when it is not fit to travel."""
    stream = io.BytesIO()
    try:
        _Pickler(stream).dump(given)
    except PluginError as error:
        raise PluginError(f"the {what} {error}") from error
    except Exception as error:  # AttributeError, TypeError, PicklingError: as it comes
        raise PluginError(
            f"the {what} cannot be pickled: {error}; expected one that can be sent to loader workers: "
            "no lambdas, open files or classes inside functions"
        ) from error
    size = stream.tell() / 2**20
    expect(size <= LIMIT, f"the {what} takes {size:.0f} MiB when pickled", f"at most {LIMIT} MiB")
    return stream.getvalue()


class _Pickler(pickle.Pickler):
    """Sees every part at any depth, and stops at weights."""

    def persistent_id(self, part: Any) -> None:
        expect(
            not (
                isinstance(part, nn.Module | nn.Parameter)
                or (isinstance(part, Tensor) and part.requires_grad)
            ),
            f"holds a {type(part).__name__}",
            "no weights in it: every loader worker would copy them, and nothing would train them",
        )
