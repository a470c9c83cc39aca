"""Check that a component keeps the contract of its kind; plugin authors call this in their own tests.

    def test_my_encoder_keeps_the_contract() -> None:
        check_encoder(MyEncoder, [short_sample, long_sample], dim=16)

`fusion plugins check NAME` calls `check`. Each function returns one sentence per check that passed and
raises fusion.PluginError at the first that did not.
"""

from fusion.testing.attacks import check_attack
from fusion.testing.augmentations import check_augmentation
from fusion.testing.compressions import check_compression
from fusion.testing.corruptions import check_corruption
from fusion.testing.encoders import check_encoder
from fusion.testing.estimators import check_estimator
from fusion.testing.fusers import check_fuser
from fusion.testing.loggers import check_logger
from fusion.testing.mergings import check_merging
from fusion.testing.objectives import check_objective
from fusion.testing.offers import check
from fusion.testing.priors import check_prior
from fusion.testing.sources import check_source
from fusion.testing.tunings import check_tuning

__all__ = [
    "check",
    "check_attack",
    "check_augmentation",
    "check_compression",
    "check_corruption",
    "check_encoder",
    "check_estimator",
    "check_fuser",
    "check_logger",
    "check_merging",
    "check_objective",
    "check_prior",
    "check_source",
    "check_tuning",
]
