"""Peak memory of merging runs, beside loading all of them: python benchmarks/merge.py [runs ...].

A BERT with random weights is trained for one step and copied. Each line is a process of its own: its peak
above that of the same with runs of nearly nothing, in sizes of the model. A method is the whole of
`fusion merge`, with the model that it makes; "all in memory" reads every run, and sums up their tensors.
"""

import subprocess
import sys
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from safetensors.torch import load_file
from table import row

from fusion import Recipe, train

METHODS = ("average", "slerp", "task-arithmetic", "ties", "dare")
LARGE = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8}
SMALL = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}


def recipe(settings: dict[str, int]) -> Recipe:
    return Recipe(
        sources={"all": {"name": "digits", "view": "text"}},
        encoders={"text": {"name": "hf-text", "model": "config:bert", "settings": settings}},
        objectives={"digit": {"name": "classify", "classes": 10}},
        train={"steps": 1, "batch": 4},
    )


TOGETHER = (
    "from safetensors.torch import load_file; import fusion.transfer.merge; "
    "runs = [{name: tensor.clone() for name, tensor in load_file(f'{path}/model.safetensors').items()} "
    "for path in sys.argv[1:]]; "
    "mean = {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}"
)
MERGE = (
    "from fusion import merge; *runs, out, method = sys.argv[1:]; "
    "merge(runs, out, method=method, base=runs[0] if method in ('task-arithmetic', 'ties', 'dare') else None)"
)


def peak(code: str, *arguments: object) -> float:
    """Return the peak memory of a process in bytes, as Linux counts it."""
    last = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    command = [sys.executable, "-c", f"import sys; {code}; {last}", *map(str, arguments)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return 1024 * float(said.split()[-1])


def main(*counts: int) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        first = train(recipe(LARGE), folder / "0").folder
        runs = [first, *(Path(copytree(first, folder / str(n))) for n in range(1, max(counts)))]
        sizes = [tensor.nbytes for tensor in load_file(first / "model.safetensors").values()]
        model, largest = sum(sizes), max(sizes) / sum(sizes)
        small = train(recipe(SMALL), folder / "small").folder
        print(f"model {model / 1e6:.0f} MB; one model and two of its largest tensor: {1 + 2 * largest:.2f}")
        for count in counts:
            found = (peak(TOGETHER, *runs[:count]) - peak(TOGETHER, *[small] * count)) / model
            print(f"all of {count} runs in memory: {found:.2f}")
            for method in METHODS:
                if method != "slerp" or count == 2:
                    outs = [folder / f"{method}{count}", folder / f"small-{method}{count}"]
                    merged = peak(MERGE, *runs[:count], outs[0], method)
                    nothing = peak(MERGE, *[small] * count, outs[1], method)
                    title = f"memory to merge {count} runs by {method}, beside one model"
                    row(title, [(merged - nothing) / 1e6], [model / 1e6], "MB", 1.08)


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:]) if len(sys.argv) > 1 else (2, 6)))
