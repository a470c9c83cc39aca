"""Films as a modality: their frames go through any encoder of images; and rows to try it on."""

from fusion import Component, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    frames = {"name": "scratch-image", "size": 16, "dim": 16}
    small = {"frames": frames, "count": 4, "layers": 1, "heads": 2}
    return [Component("video", "fusion_video.encoder:Video", "video", small, "fusion-bind[video]")]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("squares", "fusion_video.squares:Squares", tiny={"rows": 32})]
