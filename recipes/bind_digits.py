"""The recipe bind_digits from Python, for a launcher that wants a script.

python recipes/bind_digits.py
accelerate launch recipes/bind_digits.py                           # one or more GPUs
torchrun --standalone --nproc-per-node 2 recipes/bind_digits.py    # two processes on a CPU
fusion train recipes/bind_digits.py train.steps=100
"""

from fusion import read_recipe, train

recipe = read_recipe("bind_digits")

if __name__ == "__main__":
    run = train(recipe)
    print(run.report)
