"""What holds for every fuser, whoever wrote it."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fusion import Embeddings, Fuser, Registry
from tests.fusers.toys import random

NAMES = ("image", "text", "audio")
WIDTH = 8
SUBSETS = [subset for subset in itertools.product([False, True], repeat=3) if any(subset)]
REGISTRY = Registry()
FUSERS = REGISTRY.names("fuser")
Run = tuple[Tensor, dict[str, Tensor]]

presence = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=4)
with_tokens = st.sets(st.sampled_from(NAMES))
garbage = st.sampled_from([float("nan"), float("inf"), -float("inf"), 3e38, 1.0])


def make(name: str, seed: int = 0) -> Fuser:
    torch.manual_seed(seed)
    component = REGISTRY.find("fuser", name).component
    fuser = component.resolve()(NAMES, WIDTH, **component.tiny)
    assert isinstance(fuser, Fuser)
    return fuser


def run(fuser: Fuser, embeddings: Embeddings) -> Run:
    """Return the fused vectors and all gradients: of parameters, pooled vectors and tokens."""
    fuser.zero_grad()
    leaves = {
        **{f"pooled.{name}": x.clone().requires_grad_() for name, x in embeddings.pooled.items()},
        **{f"tokens.{name}": x.clone().requires_grad_() for name, x in embeddings.tokens.items()},
    }
    fused = fuser(
        embeddings._replace(
            pooled={name: leaves[f"pooled.{name}"] for name in embeddings.pooled},
            tokens={name: leaves[f"tokens.{name}"] for name in embeddings.tokens},
        )
    )
    (fused * torch.linspace(-1, 2, fused.numel()).reshape(fused.shape)).sum().backward()
    leaves |= dict(fuser.named_parameters())
    # a fuser may read no tokens at all; then they have no gradient
    return fused.detach(), {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def test_there_are_fusers() -> None:
    assert {"mean", "concat", "gate", "attend", "bottleneck", "lowrank"} <= set(FUSERS)


@pytest.mark.parametrize("name", FUSERS)
@settings(max_examples=30, deadline=None)
@given(present=presence, tokens=with_tokens, garbage=garbage)
def test_garbage_in_absent_slots_changes_no_bit(
    name: str, present: list[tuple[bool, ...]], tokens: set[str], garbage: float
) -> None:
    fuser = make(name)
    fused, gradients = run(fuser, random(present, tokens))
    dirty, dirty_gradients = run(fuser, random(present, tokens, garbage))
    assert fused.isfinite().all()
    assert torch.equal(fused, dirty)
    assert gradients.keys() == dirty_gradients.keys()
    for leaf, gradient in gradients.items():
        assert gradient.isfinite().all(), leaf
        assert torch.equal(gradient, dirty_gradients[leaf]), leaf
    for modality, shown in random(present).present.items():
        assert (gradients[f"pooled.{modality}"][~shown] == 0).all()


@pytest.mark.parametrize("name", FUSERS)
@settings(max_examples=15, deadline=None)
@given(present=presence, tokens=with_tokens)
def test_a_batch_equals_its_rows_one_by_one(
    name: str, present: list[tuple[bool, ...]], tokens: set[str]
) -> None:
    fuser, embeddings = make(name), random(present, tokens)
    rows = [
        fuser(Embeddings(*({k: v[i : i + 1] for k, v in part.items()} for part in embeddings[:5]), part[:1]))
        for i, part in enumerate([embeddings.source] * len(present))
    ]
    torch.testing.assert_close(torch.cat(rows), fuser(embeddings), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FUSERS)
def test_permuted_rows_give_permuted_vectors(name: str) -> None:
    fuser, embeddings = make(name), random(SUBSETS)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    permuted = Embeddings(
        *({k: v[order] for k, v in part.items()} for part in embeddings[:5]), embeddings.source[order]
    )
    torch.testing.assert_close(fuser(permuted), fuser(embeddings)[order], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", FUSERS)
def test_every_subset_gives_a_vector_of_its_own(name: str) -> None:
    # seven rows of the same content, of which each shows another subset
    everything = random([(True, True, True)])
    rows = Embeddings(
        *({k: v.repeat_interleave(7, 0) for k, v in part.items()} for part in everything[:5]),
        everything.source.repeat_interleave(7),
    )
    shown = dict(zip(NAMES, torch.tensor(SUBSETS).T, strict=True))
    fused = make(name)(rows.show(shown))
    assert fused.shape == (7, WIDTH)
    assert torch.pdist(fused).min() > 1e-4


@pytest.mark.parametrize("name", FUSERS)
def test_every_parameter_learns_when_all_modalities_are_present(name: str) -> None:
    fuser = make(name)
    _, gradients = run(fuser, random([(True, True, True)] * 3))
    for parameter, _ in fuser.named_parameters():
        assert gradients[parameter].any(), parameter


@pytest.mark.parametrize("name", FUSERS)
def test_every_parameter_is_in_the_graph_when_nothing_is_present(name: str) -> None:
    # ranks that use other parameters than their peers make DDP hang
    fuser = make(name)
    fused, gradients = run(fuser, random([(False, False, False)] * 2, tokens=()))
    assert fused.isfinite().all()
    assert {parameter for parameter, _ in fuser.named_parameters()} <= gradients.keys()


@pytest.mark.parametrize("name", FUSERS)
def test_a_batch_without_tokens_of_a_modality_equals_one_that_masks_them_all(name: str) -> None:
    fuser, embeddings = make(name), random(SUBSETS)
    masked = embeddings._replace(mask=embeddings.mask | {"text": torch.zeros(7, 3, dtype=torch.bool)})
    without = embeddings._replace(
        tokens={k: v for k, v in embeddings.tokens.items() if k != "text"},
        mask={k: v for k, v in embeddings.mask.items() if k != "text"},
    )
    torch.testing.assert_close(fuser(masked), fuser(without), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", FUSERS)
def test_hidden_modalities_are_as_good_as_absent(name: str) -> None:
    fuser, everything = make(name), random([(True, True, True)] * 2)
    hidden = everything.show({k: torch.tensor([True, k != "image"]) for k in NAMES})
    absent = random([(True, True, True), (False, True, True)], garbage=float("nan"))
    assert torch.equal(fuser(hidden), fuser(absent))


@pytest.mark.parametrize("name", FUSERS)
def test_evaluation_gives_what_training_gives(name: str) -> None:
    # torch takes other kernels in evaluation, when no gradient is asked for
    fuser, embeddings = make(name), random([*SUBSETS, (False, False, False)], garbage=float("nan"))
    trained = fuser(embeddings)
    fuser.eval()
    with torch.inference_mode():
        torch.testing.assert_close(fuser(embeddings), trained.detach(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FUSERS)
@pytest.mark.parametrize("training", [True, False])
def test_bf16_is_close_to_fp32(name: str, training: bool) -> None:
    fuser, embeddings = make(name).train(training), random([*SUBSETS, (False, False, False)])
    half = embeddings._replace(tokens={k: v.bfloat16() for k, v in embeddings.tokens.items()})
    with torch.set_grad_enabled(training), torch.autocast("cpu", torch.bfloat16):
        fused = fuser(half)
    torch.testing.assert_close(fused.float(), fuser(embeddings), atol=0.15, rtol=0.05)


@pytest.mark.parametrize("name", FUSERS)
def test_weights_survive_a_state_dict(name: str) -> None:
    fuser, embeddings = make(name), random(SUBSETS)
    other = make(name, seed=1)
    other.load_state_dict(fuser.state_dict())
    assert torch.equal(other(embeddings), fuser(embeddings))
