import torch
from torch import nn

from fusion.fusers.concat import Concat
from tests.fusers.toys import literal


def test_pooled_vectors_come_before_flags_in_recipe_order() -> None:
    concat = Concat(("text", "image", "audio"), 2)
    concat.mlp = nn.Identity()
    embeddings = literal(image=[[1.0, 2.0], None], text=[[3.0, 4.0], None], audio=[None, [5.0, 6.0]])
    expected = torch.tensor(
        [[3.0, 4.0, 1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0], [0, 0, 0, 0, 5.0, 6.0, 0, 0, 1.0]]
    )
    assert torch.equal(concat(embeddings), expected)


def test_the_hidden_layer_is_twice_the_width_unless_given() -> None:
    assert [layer.weight.shape for layer in Concat(("a", "b", "c"), 4).mlp[::2]] == [(8, 15), (4, 8)]
    assert [layer.weight.shape for layer in Concat(("a", "b", "c"), 4, hidden=5).mlp[::2]] == [
        (5, 15),
        (4, 5),
    ]


def test_a_present_zero_vector_is_not_absence() -> None:
    torch.manual_seed(0)
    concat = Concat(("image", "text", "audio"), 2)
    fused = concat(literal(image=[[0.0, 0.0], None], text=[[1.0, 0.0]] * 2, audio=[[0.0, 1.0]] * 2))
    assert (fused[0] - fused[1]).abs().max() > 1e-3
