"""open_clip's image and text towers: CLIP, SigLIP, CoCa, EVA, MobileCLIP and the others."""

from fusion import Component, hookimpl

TINY = {"model": "fusion-tiny", "pretrained": False, "revision": None}


@hookimpl
def fusion_encoders() -> list[Component]:
    return [
        Component("openclip-image", "fusion_openclip.image:OpenClipImage", "image", tiny=TINY),
        Component("openclip-text", "fusion_openclip.text:OpenClipText", "text", tiny=TINY),
    ]
