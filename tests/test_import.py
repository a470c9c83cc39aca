"""What importing fusion does to the process."""

import subprocess
import sys

import pytest

LARGE = """
import fusion, re, torch
held = torch.ones(64 << 18)  # 64 MiB
place = held.data_ptr()
inside, advised = False, False
for line in open("/proc/self/smaps"):
    if found := re.match(r"^([0-9a-f]+)-([0-9a-f]+) ", line):
        inside = int(found[1], 16) <= place < int(found[2], 16)
    elif inside and line.startswith("VmFlags:"):
        advised = " hg" in line
print(advised)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are Linux's")
@pytest.mark.parametrize(("given", "found"), [(None, "True"), ("0", "False")])
def test_large_tensors_lie_in_huge_pages_unless_it_is_said_otherwise(
    given: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    if given is not None:
        monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", given)
    run = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.returncode) == (found, 0), run.stderr
