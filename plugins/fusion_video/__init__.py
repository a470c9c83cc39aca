"""Films as a modality: their frames go through any encoder of images; and rows to try it on."""

from fusion import Component, functions_in, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    frames = {"name": "scratch-image", "size": 16, "dim": 16}
    small = {"frames": frames, "count": 4, "layers": 1, "heads": 2}
    return [Component("video", "fusion_video.encoder:Video", "video", small, "fusion-bind[video]")]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("squares", "fusion_video.squares:Squares", tiny={"rows": 32})]


@hookimpl
def fusion_augmentations() -> list[Component]:
    module = "fusion_video.augmentations"
    return [
        Component("video-crop", f"{module}:VideoCrop"),
        Component("video-scatter", f"{module}:VideoScatter"),
        Component("video-alike", f"{module}:VideoAlike", tiny={"by": {"name": "image-color"}}),
    ]


@hookimpl
def fusion_corruptions() -> list[Component]:
    return functions_in("fusion_video.damage", "video")
