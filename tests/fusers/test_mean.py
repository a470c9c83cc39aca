import torch

from fusion.fusers.mean import Mean
from tests.fusers.toys import literal


def test_the_mean_counts_only_what_is_present() -> None:
    embeddings = literal(
        image=[[1.0, 0.0], [1.0, 0.0], None, None],
        text=[[0.0, 1.0], None, [0.6, 0.8], None],
        audio=[[0.5, 0.5], [0.0, -1.0], None, None],
    )
    fused = Mean(("image", "text", "audio"), 2)(embeddings)
    expected = torch.tensor([[0.5, 0.5], [0.5, -0.5], [0.6, 0.8], [0.0, 0.0]])
    torch.testing.assert_close(fused, expected)


def test_shares_are_equal() -> None:
    rows = literal(image=[[1.0], None, None], text=[[1.0], [1.0], None], audio=[[0.5], [0.5], None])
    shares = Mean(("image", "text", "audio"), 1).shares(rows)
    torch.testing.assert_close(shares, torch.tensor([[1 / 3] * 3, [0.0, 0.5, 0.5], [0.0] * 3]))
