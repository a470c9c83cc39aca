"""The recipe photos with a text tower that knows English already: all-MiniLM-L6-v2, frozen.

FUSION_DATA=DIR fusion train recipes/photos_minilm.py                            # weights from the hub
FUSION_DATA=DIR fusion train recipes/photos_minilm.py encoders.text.model=DIR    # or from a folder

Three seeds: text -> image recall@10 40.1 ± 1.1 %, where the tower from scratch has 24.7 ± 0.1 %, and text ->
audio 69.5 ± 2.2 % for 43.9 ± 1.2 %. About ten minutes on one of two busy CPU cores. See docs/results.md.
"""

from fusion import read_recipe

TEXT = "{name: hf-text, model: sentence-transformers/all-MiniLM-L6-v2, tune: {mode: frozen}}"

recipe = read_recipe("photos", ["name=photos_minilm", f"encoders.text={TEXT}"])
