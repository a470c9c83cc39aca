"""Find when the frames of a film are shown and which are key frames, without decoding any."""

from bisect import bisect_right
from typing import Any, NamedTuple

from fusion import DataError

MAX_FRAMES = 1_000_000


class Index(NamedTuple):
    """Times of frames in units of the stream, in the order in which they are shown."""

    times: list[int]
    keys: list[int]  # those of key frames, from which decoding can begin

    @property
    def start(self) -> int:
        return self.times[0]

    def key_before(self, time: int) -> int:
        """Return the time of the last key frame that is not after this one."""
        place = bisect_right(self.keys, time)
        return self.keys[place - 1] if place else self.start


def index(container: Any, stream: Any) -> Index:
    """Read the packets of a stream. Raises DataError for a film without frames, or with too many."""
    times, keys = [], []
    for packet in container.demux(stream):
        if packet.pts is None or packet.is_discard:  # the last packet is empty
            continue
        times.append(packet.pts)
        if packet.is_keyframe:
            keys.append(packet.pts)
        if len(times) > MAX_FRAMES:
            raise DataError(f"video of more than {MAX_FRAMES:,} frames")
    if not times:
        raise DataError("the video has no frame with a time")
    return Index(sorted(times), sorted(keys))
