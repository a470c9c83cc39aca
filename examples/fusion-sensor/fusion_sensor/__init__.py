"""The modality `sensor`: digits drawn in the air, as the three axes of an accelerometer."""

from fusion import Component, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    return [Component("sensor-conv", "fusion_sensor.encoder:SensorConv", "sensor", tiny={"dim": 16})]


@hookimpl
def fusion_augmentations() -> list[Component]:
    return [Component("sensor-turn", "fusion_sensor.augmentation:SensorTurn")]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("sensor-digits", "fusion_sensor.source:SensorDigits", tiny={"limit": 32})]
