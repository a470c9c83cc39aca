"""timm's image encoders: VGG, ResNet, ConvNeXt, ViT and some 1,300 more."""

from fusion import Component, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    return [
        Component(
            "timm-image",
            "fusion_timm.image:TimmImage",
            "image",
            tiny={"model": "test_vit", "pretrained": False, "revision": None, "size": 32},
        )
    ]
