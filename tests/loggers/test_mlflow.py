"""What MLflow's database has is what was logged, in one run."""

from mlflow import MlflowClient

from fusion.loggers.mlflow import MLflow
from tests.loggers.conftest import Follow


def test_a_resumed_training_is_one_run_with_recipe_and_metrics(follow: Follow) -> None:
    folder = follow(MLflow)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == (folder / "id").read_text().strip()
    assert (run.info.run_name, run.info.status) == ("run-2", "FINISHED")
    assert run.data.params == {
        "name": "digits",
        "train.lr": "0.5",
        "init": "None",
        "classes": "['one', 'two']",
    }
    history = client.get_metric_history(run.info.run_id, "loss")
    assert {(metric.step, metric.value) for metric in history} == {(1, 4.0), (2, 3.0), (3, 2.0)}
    assert run.data.metrics["retrieval/image to audio/hit at 1"] == 0.75
    assert run.data.metrics["subsets/image and text/digit/accuracy"] == 0.5


def test_a_training_that_stopped_is_killed_there(follow: Follow) -> None:
    def stopping() -> MLflow:
        logger = MLflow()
        end = logger.end
        logger.end = lambda metrics: end(None)  # type: ignore[method-assign]
        return logger

    folder = follow(stopping)
    assert MlflowClient().get_run((folder / "id").read_text().strip()).info.status == "KILLED"
