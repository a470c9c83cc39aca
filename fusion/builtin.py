"""The core's own components, offered through the same hooks as everybody's."""

from fusion.component import Component, functions_in
from fusion.hookspecs import hookimpl


@hookimpl
def fusion_fusers() -> list[Component]:
    return [
        Component("mean", "fusion.fusers.mean:Mean"),
        Component("concat", "fusion.fusers.concat:Concat"),
        Component("gate", "fusion.fusers.gate:Gate"),
        Component("attend", "fusion.fusers.attend:Attend", tiny={"layers": 1}),
        Component("bottleneck", "fusion.fusers.bottleneck:Bottleneck", tiny={"bottlenecks": 2}),
        Component("lowrank", "fusion.fusers.lowrank:LowRank"),
    ]


@hookimpl
def fusion_objectives() -> list[Component]:
    return [
        Component("contrastive", "fusion.objectives.contrastive:Contrastive"),
        Component("sigmoid", "fusion.objectives.sigmoid:Sigmoid"),
        Component("coral", "fusion.objectives.coral:Coral"),
        Component("mmd", "fusion.objectives.mmd:Mmd"),
        Component("moments", "fusion.objectives.moments:Moments"),
        Component("adversarial", "fusion.objectives.adversarial:Adversarial", tiny={"hidden": 16}),
        Component("classify", "fusion.objectives.classify:Classify", tiny={"classes": 10}),
        Component("cdan", "fusion.objectives.cdan:Cdan", tiny={"classes": 10, "hidden": 16}),
        Component("groupdro", "fusion.objectives.groupdro:Groupdro", tiny={"classes": 10}),
        Component("regress", "fusion.objectives.regress:Regress", tiny={"target": "value"}),
        Component("multilabel", "fusion.objectives.multilabel:Multilabel", tiny={"classes": 10}),
        Component("distill", "fusion.objectives.distill:Distill"),
        Component("distill-relations", "fusion.objectives.distill_relations:DistillRelations"),
        Component("distill-contrast", "fusion.objectives.distill_contrast:DistillContrast"),
        Component("distill-labels", "fusion.objectives.distill_labels:DistillLabels", tiny={"classes": 10}),
    ]


@hookimpl
def fusion_augmentations() -> list[Component]:
    image, colour = "fusion.augmentations.image", "fusion.augmentations.colour"
    audio, text = "fusion.augmentations.audio", "fusion.augmentations.text"
    mixing = "fusion.augmentations.mixing"
    return [
        Component("image-resize", f"{image}:ImageResize", tiny={"least": 16, "most": 24}),
        Component("image-move", f"{image}:ImageMove"),
        Component("image-crop", f"{image}:ImageCrop"),
        Component("image-flip", f"{image}:ImageFlip"),
        Component("image-color", f"{colour}:ImageColor"),
        Component("image-noise", f"{colour}:ImageNoise"),
        Component("image-invert", f"{colour}:ImageInvert"),
        Component("image-blend", f"{colour}:ImageBlend"),
        Component("image-randaugment", "fusion.augmentations.randaugment:ImageRandAugment"),
        Component("image-mixup", f"{mixing}:ImageMixup"),
        Component("image-cutmix", f"{mixing}:ImageCutmix"),
        Component("audio-crop", f"{audio}:AudioCrop", tiny={"seconds": 0.1}),
        Component("audio-speed", f"{audio}:AudioSpeed"),
        Component("audio-position", f"{audio}:AudioPosition"),
        Component("audio-gain", f"{audio}:AudioGain"),
        Component("audio-noise", f"{audio}:AudioNoise"),
        Component("audio-mask", f"{audio}:AudioMask"),
        Component("audio-mixup", f"{mixing}:AudioMixup"),
        Component("text-template", f"{text}:TextTemplate", tiny={"templates": ["{}", "a photo of {}"]}),
        Component("text-typo", f"{text}:TextTypo"),
        Component("text-dropout", f"{text}:TextDropout", tiny={"strength": 0.5}),
    ]


@hookimpl
def fusion_corruptions() -> list[Component]:
    return [
        component
        for modality in ("image", "audio", "text")
        for component in functions_in(f"fusion.corruptions.{modality}", modality)
    ]


@hookimpl
def fusion_tunings() -> list[Component]:
    return [
        Component("full", "fusion.tunings.full:Full"),
        Component("frozen", "fusion.tunings.frozen:Frozen"),
        Component("bitfit", "fusion.tunings.bitfit:Bitfit"),
        Component("gradual", "fusion.tunings.gradual:Gradual"),
        Component("lora", "fusion.tunings.lora:Lora", tiny={"rank": 2}),
    ]


@hookimpl
def fusion_estimators() -> list[Component]:
    return [
        Component("logme", "fusion.estimators.logme:LogME"),
        Component("hscore", "fusion.estimators.hscore:HScore"),
        Component("leep", "fusion.estimators.leep:Leep"),
        Component("probe", "fusion.estimators.probe:Probe"),
    ]


@hookimpl
def fusion_mergings() -> list[Component]:
    return [
        Component("average", "fusion.mergings.average:Average"),
        Component("greedy-soup", "fusion.mergings.greedy_soup:GreedySoup"),
        Component("wise-ft", "fusion.mergings.wise_ft:WiseFt"),
        Component("slerp", "fusion.mergings.slerp:Slerp"),
        Component("task-arithmetic", "fusion.mergings.task_arithmetic:TaskArithmetic"),
        Component("ties", "fusion.mergings.ties:Ties"),
        Component("dare", "fusion.mergings.dare:Dare"),
    ]


@hookimpl
def fusion_priors() -> list[Component]:
    return [
        Component("l2", "fusion.priors.l2:L2"),
        Component("l2sp", "fusion.priors.l2sp:L2Sp"),
        Component("ewc", "fusion.priors.ewc:Ewc"),
    ]


@hookimpl
def fusion_compressions() -> list[Component]:
    return [
        Component("int8", "fusion.compressions.int8:Int8", tiny={"least": 64, "multiplied": 128}),
        Component("int4", "fusion.compressions.int4:Int4", tiny={"least": 64, "multiplied": 128}),
        Component("low-rank", "fusion.compressions.low_rank:LowRank", tiny={"energy": 0.5}),
        Component("prune-magnitude", "fusion.compressions.prune_magnitude:PruneMagnitude"),
        Component("prune-structured", "fusion.compressions.prune_structured:PruneStructured"),
    ]


@hookimpl
def fusion_attacks() -> list[Component]:
    return functions_in("fusion.attacks")


@hookimpl
def fusion_loggers() -> list[Component]:
    track = "fusion-bind[track"
    return [
        Component("tensorboard", "fusion.loggers.tensorboard:TensorBoard", needs=f"{track}-tensorboard]"),
        Component("wandb", "fusion.loggers.wandb:WandB", needs=f"{track}-wandb]"),
        Component("trackio", "fusion.loggers.trackio:Trackio", needs=f"{track}-trackio]"),
        Component("mlflow", "fusion.loggers.mlflow:MLflow", needs=f"{track}-mlflow]"),
    ]
