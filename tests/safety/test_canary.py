"""The payload of these tests does something where it is run, so that its silence says something."""

import pickle

from tests.safety.conftest import Payload


def test_a_payload_that_is_unpickled_leaves_its_trace(payload: Payload) -> None:
    pickle.loads(pickle.dumps(payload))
    assert payload.trace.exists()
    payload.trace.unlink()
