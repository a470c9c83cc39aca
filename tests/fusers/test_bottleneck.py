import pytest
import torch
from torch import Tensor, nn

from fusion import Embeddings, RecipeError
from fusion.fusers.bottleneck import Bottleneck
from tests.fusers.toys import literal, random

NAMES = ("image", "text", "audio")


class Mix(nn.Module):
    """Stands in for a transformer: adds to every token `gain` times the sum of all that are visible."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor, src_key_padding_mask: Tensor) -> Tensor:
        return x + self.gain * x.masked_fill(src_key_padding_mask[..., None], 0.0).sum(1, keepdim=True)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"fuser\.heads: width \(8\) must be divisible by heads \(3\)"):
        Bottleneck(NAMES, 8, heads=3)


def test_two_layers_by_hand() -> None:
    fuser = Bottleneck(NAMES, 1, bottlenecks=1, heads=1, layers=2)
    for layer in fuser.blocks:
        for name, gain in zip(NAMES, [1.0, 2.0, 3.0], strict=True):
            layer[name] = Mix(gain)
    fuser.norm = nn.Identity()
    with torch.no_grad():
        fuser.bottlenecks.fill_(10.0)
    fused = fuser(literal(image=[[1.0], [1.0]], text=[[2.0], None], audio=[None, None]))
    # layer 1: image 1 + 11 = 12 writes 10 + 11 = 21; text 2 + 2 * 12 = 26 writes 10 + 24 = 34
    # shared: (21 + 34) / 2 = 27.5, or 21 where the image is alone
    # layer 2: image 12 + (12 + 27.5) = 51.5; text 26 + 2 * (26 + 27.5) = 133; image alone 12 + 33 = 45
    torch.testing.assert_close(fused, torch.tensor([[(51.5 + 133) / 2], [45.0]]))


def test_modalities_exchange_from_the_second_layer_on() -> None:
    torch.manual_seed(0)
    embeddings = random([(True, True, True)])
    other = embeddings._replace(pooled=embeddings.pooled | {"text": embeddings.pooled["text"].flip(1)})

    def image_part(fuser: Bottleneck, given: Embeddings) -> Tensor:
        """The derivative with respect to the image tells whether what it says depends on the text."""
        pooled = {name: x.clone().requires_grad_() for name, x in given.pooled.items()}
        fused = fuser(given._replace(pooled=pooled))
        return torch.autograd.grad(fused[:, 0].sum(), pooled["image"])[0]

    one, two = Bottleneck(NAMES, 8, layers=1), Bottleneck(NAMES, 8, layers=2)
    assert torch.equal(image_part(one, embeddings), image_part(one, other))
    assert (image_part(two, embeddings) - image_part(two, other)).abs().max() > 1e-5


def test_a_row_with_nothing_is_zeros() -> None:
    fused = Bottleneck(NAMES, 8)(random([(False, False, False), (True, False, False)]))
    assert fused[0].tolist() == [0.0] * 8
