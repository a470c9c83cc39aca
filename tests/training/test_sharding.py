"""An encoder in shards gives the gradients of a whole one, whatever it is made of."""

import json
from pathlib import Path
from typing import Any

SCRIPT = """
import copy, json, os, sys, torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from fusion import Encoder
from fusion.recompute import recompute
from fusion.training.sharding import layers, shard
from fusion.tunings.lora import Lora


class Odd(Encoder):
    # layers that share a weight, a list in a list, channels last, a scalar, and with Lora more parameters
    def __init__(self):
        super().__init__()
        self.image = nn.Conv2d(3, 5, 2).to(memory_format=torch.channels_last)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(5, 5), nn.Tanh()), nn.Linear(5, 5)])
        self.deep = nn.ModuleList([nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)])
        self.tied = nn.ModuleList([nn.Linear(5, 5), nn.Linear(5, 5)])
        self.tied[1].weight = self.tied[0].weight
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = self.image(x).flatten(1)
        for layer in (*self.blocks, *self.tied):
            x = layer(x).sin()
        return self.deep[0](x[:, None, :4]) * self.scale + self.shift


dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (dist.get_world_size(),))
torch.manual_seed(0)
told = {}
for name in ("whole", "lora", "recompute"):
    plain, calls = Odd(), []
    plain.deep[0].linear1.register_forward_pre_hook(lambda *given: calls.append(0))
    if name == "lora":
        Lora(rank=2).prepare(plain)
        for part in plain.parameters():  # what is added is zero at first, and has no gradient for A
            nn.init.normal_(part.data, std=0.3) if part.requires_grad else None
    sharded = copy.deepcopy(plain)
    if name == "recompute":
        recompute(sharded)
    found = [type(layer).__name__ for layer in layers(sharded)]
    shard(sharded, mesh)
    halves = torch.randn(4, 3, 2, 2).chunk(2)
    calls.clear()
    (sum(plain(half).square().sum() for half in halves) / 2).backward()  # the mean of the ranks
    sharded(halves[dist.get_rank()]).square().sum().backward()
    worst, compared = 0.0, 0
    for (key, one), (_, two) in zip(plain.named_parameters(), sharded.named_parameters(), strict=True):
        if two.ndim == 0:
            if two.grad is not None:
                dist.all_reduce(two.grad)
                two.grad /= 2
        else:
            assert isinstance(two, DTensor), key
        if one.grad is not None:
            grad = two.grad.full_tensor() if isinstance(two.grad, DTensor) else two.grad
            worst, compared = max(worst, (grad - one.grad).abs().max().item()), compared + 1
            assert one.grad.abs().max() > 0, key
    told[name] = [found, worst, compared, len(calls)]
if dist.get_rank() == 0:
    with open(sys.argv[1], "w") as file:
        json.dump(told, file)
dist.barrier()
os._exit(0)  # threads of gloo that shards still hold abort the interpreter's own end
"""


def test_gradients_are_those_of_a_whole_encoder(torchrun: Any, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = torchrun(2, str(tmp_path / "script.py"), str(tmp_path / "told.json"))
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    # two layers that share a weight are gathered with the encoder, and so is what Lora adds to it
    found, worst, compared, calls = told["whole"]
    assert found == ["Linear", "Linear", "TransformerEncoderLayer"]
    assert worst < 1e-5
    assert compared == 2 + 4 + 12 + 3 + 2
    assert calls == 2 + 1
    found, worst, compared, calls = told["lora"]
    assert found == ["LoraLinear", "LoraLinear", "TransformerEncoderLayer"]
    assert worst < 1e-5
    assert compared == 2 * (2 + 2 + 4)
    found, worst, compared, calls = told["recompute"]
    assert found == ["Linear", "Linear", "TransformerEncoderLayer"]
    assert worst < 1e-5
    assert compared == 2 + 4 + 12 + 3 + 2
    assert calls == 2 + 2  # of two halves at once, and of one half twice
