import torch

from fusion.fusers.lowrank import LowRank
from tests.fusers.toys import literal, random

NAMES = ("image", "text", "audio")


def test_it_equals_the_contraction_of_the_full_outer_product() -> None:
    torch.manual_seed(0)
    fuser = LowRank(NAMES, 8, rank=3)
    embeddings = random([(True, True, True), (True, False, True), (False, False, False)])
    a, b, c = (torch.cat([embeddings.visible(name), torch.ones(3, 1)], dim=1).double() for name in NAMES)
    tensor = torch.einsum("rio,rjo,rko->ijko", *(fuser.factors[name].double() for name in NAMES))
    outer = torch.einsum("bi,bj,bk->bijk", a, b, c)
    expected = torch.einsum("bijk,ijko->bo", outer, tensor)
    torch.testing.assert_close(fuser(embeddings).double(), expected, atol=1e-4, rtol=1e-4)


def test_rank_one_by_hand() -> None:
    fuser = LowRank(NAMES, 1, rank=1)
    with torch.no_grad():
        for name, weights in [("image", [2.0, 1.0]), ("text", [3.0, -1.0]), ("audio", [1.0, 0.5])]:
            fuser.factors[name].copy_(torch.tensor(weights).reshape(1, 2, 1))
    fused = fuser(literal(image=[[1.0], [1.0]], text=[[-1.0], [-1.0]], audio=[[0.5], None]))
    # (2 + 1)(-3 - 1)(0.5 + 0.5), and with audio as [0; 1]: (2 + 1)(-3 - 1)(0.5)
    torch.testing.assert_close(fused, torch.tensor([[-12.0], [-6.0]]))


def test_an_absent_modality_starts_as_a_factor_of_one() -> None:
    torch.manual_seed(0)
    three, two = LowRank(NAMES, 4), LowRank(("image", "text"), 4)
    two.load_state_dict({key: value for key, value in three.state_dict().items() if "audio" not in key})
    vector = [0.5, 0.5, -0.5, 0.5]
    embeddings = literal(image=[vector], text=[vector[::-1]], audio=[None])
    torch.testing.assert_close(three(embeddings), two(embeddings))
