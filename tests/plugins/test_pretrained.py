"""What the encoders of timm and open_clip refuse alike: weights that are damaged or run code, mere lines."""

import pickle

import numpy as np
import pytest
import torch
from fusion_openclip.image import OpenClipImage
from fusion_timm.image import TimmImage

from fusion import DataError

ENCODERS = pytest.mark.parametrize(
    ("build", "model"), [(TimmImage, "test_vit"), (OpenClipImage, "fusion-tiny")]
)


class Planted:
    """What a pickle runs when it is loaded."""

    ran = False

    def __reduce__(self):
        return setattr, (Planted, "ran", True)


@ENCODERS
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps(Planted()), "torch"])
def test_a_file_that_is_damaged_or_holds_code_is_refused_unread(content, build, model, tmp_path):
    path = tmp_path / "weights.pt"
    if content == "torch":
        torch.save({"state_dict": {}, "more": Planted()}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"cannot (read|load) the weights /.*/weights.pt( into fusion-tiny)?: \w+"
    ):
        build(model=model, pretrained=str(path))
    assert not Planted.ran


@ENCODERS
@pytest.mark.parametrize("shape", [(1, 101, 3), (5000, 2, 3)])
def test_an_image_that_is_a_mere_line_is_a_bad_row(shape, build, model):
    processor = build(model=model, pretrained=False).processor
    assert processor.decode(np.zeros((1, 100, 3), np.uint8)).ndim == 3
    with pytest.raises(
        DataError, match=rf"image of {shape[1]} x {shape[0]} pixels; sides of up to 100 to 1 are read"
    ):
        processor.decode(np.zeros(shape, np.uint8))
