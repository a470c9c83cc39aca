"""The recipe photos with a text tower that knows English already: all-MiniLM-L6-v2, frozen.

FUSION_DATA=DIR fusion train recipes/photos_minilm.py                            # weights from the hub
FUSION_DATA=DIR fusion train recipes/photos_minilm.py encoders.text.model=DIR    # or from a folder
"""

from fusion import read_recipe

TEXT = "{name: hf-text, model: sentence-transformers/all-MiniLM-L6-v2, tune: {mode: frozen}}"

recipe = read_recipe("photos", ["name=photos_minilm", f"encoders.text={TEXT}"])
