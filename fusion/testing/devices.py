"""Find out, on a machine with a CPU alone, whether what is computed stays on the device of its inputs."""

from collections.abc import Callable

from torch import Tensor

from fusion.errors import PluginError
from fusion.testing.expect import expect

META = "meta"  # torch's device without numbers: shapes are computed, and devices compared
MIXED = ("not on the expected device", "same device")  # what torch says where two meet


def stays(forward: Callable[[], Tensor]) -> bool:
    """Whether a forward on the meta device could be run; what needs numbers, such as `item`, cannot.

    Raises PluginError where it brings tensors of two devices together, or gives one of another device.
    """
    remedy = "tensors that are made with device=x.device, and those that are kept in register_buffer"
    try:
        made = forward()
    except Exception as error:  # of any kind, where a library needs numbers
        if any(said in str(error) for said in MIXED):
            raise PluginError(f"forward mixes devices ({error}); expected {remedy}") from error
        return False
    expect(made.device.type == META, f"forward gave a tensor on {made.device} for inputs elsewhere", remedy)
    return True
