"""The core's own fusers and objectives, offered through the same hooks as everybody's."""

from fusion.component import Component
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
        Component("classify", "fusion.objectives.classify:Classify", tiny={"classes": 10}),
        Component("regress", "fusion.objectives.regress:Regress", tiny={"target": "value"}),
        Component("multilabel", "fusion.objectives.multilabel:Multilabel", tiny={"classes": 10}),
    ]
