"""What TensorBoard reads is what was logged, each step once."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from fusion.loggers.tensorboard import TensorBoard
from tests.loggers.conftest import Follow


def test_every_step_is_there_once_after_a_resume(follow: Follow) -> None:
    events = EventAccumulator(str(follow(TensorBoard)))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 4.0), (2, 3.0), (3, 2.0)]
    assert [event.value for event in events.Scalars("loss/align")] == [1.5, 1.25, 1.0]


def test_recipe_and_metrics_are_hyperparameters_and_their_outcome(follow: Follow) -> None:
    events = EventAccumulator(str(follow(TensorBoard)))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("retrieval/image->audio/hit@1")] == [
        (3, 0.75)
    ]
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    given = HParamsPluginData.FromString(content).session_start_info.hparams
    assert given["train.lr"].number_value == 0.5
    assert given["classes"].string_value == "['one', 'two']"
    assert "train.lr: 0.5" in events.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0].decode()
