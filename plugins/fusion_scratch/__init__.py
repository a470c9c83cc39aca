"""Small encoders for images, text and sound, to train from scratch: the model for a plugin of your own."""

from fusion import Component, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    return [
        Component(
            "scratch-image", "fusion_scratch.image:ScratchImage", "image", tiny={"size": 16, "dim": 16}
        ),
        Component("scratch-text", "fusion_scratch.text:ScratchText", "text", tiny={"dim": 16, "layers": 1}),
        Component(
            "scratch-audio", "fusion_scratch.audio:ScratchAudio", "audio", tiny={"mels": 16, "dim": 16}
        ),
    ]
