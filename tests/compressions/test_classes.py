"""What is joined is of one class, which is that of its least number."""

import torch

from fusion.compressions.classes import STAY, Classes


def test_classes_are_joined_over_broadcast_tensors() -> None:
    classes = Classes()
    one, other = classes.new(3), classes.new(3)
    assert one.tolist() == [1, 2, 3]
    assert other.tolist() == [4, 5, 6]
    classes.join(one.view(3, 1).expand(3, 5), other.view(3, 1))
    assert classes.of(other).tolist() == [1, 2, 3]
    classes.join(one[0], other[2])
    assert classes.of(torch.cat([one, other])).tolist() == [1, 2, 1, 1, 2, 1]
    classes.join(other[:1], STAY)
    assert classes.of(torch.cat([one, other])).tolist() == [0, 2, 0, 0, 2, 0]
    assert classes.count == 7


def test_a_chain_is_one_class() -> None:
    classes = Classes()
    numbers = classes.new(50)
    classes.join(numbers[1:], numbers[:-1])
    assert classes.of(numbers).tolist() == [1] * 50
