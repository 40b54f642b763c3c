"""Type hints: that they are those of the code, and that a user's program passes with them."""

import importlib.util
import sys

import pytest
from conftest import DEADLINE, HERE


@pytest.fixture(autouse=True)
def mypy():
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("SKIPPED: mypy is not installed: pip install mypy")


def test_the_stubs_say_what_is_there(children):
    allowed, options = HERE / "stubtest.allow", HERE.parent / "pyproject.toml"
    children.run(
        sys.executable,
        "-m",
        "mypy.stubtest",
        "prodcon",
        "--ignore-missing-stub",
        "--ignore-unused-allowlist",
        "--allowlist",
        allowed,
        "--mypy-config-file",
        options,
    )


PROGRAM = """
import prodcon

class Producer(prodcon.Producer):
    @staticmethod
    def work(started, state, message_pipe, *args):
        return 1

queue: prodcon.ReadyQueue = prodcon.ReadyQueue(10, lossy=True)
number: int = queue.qsize()
with queue.take() as item:
    octets: bytes = bytes(item)
    deliveries: int = item.delivery_count
    where: tuple[str, int, int] = item.id.queue, item.id.sequence, item.id.index
waiting: int = queue.stats().unacked
try:
    prodcon.ReadyQueue.create("x", 10, 8, item_type="f64", batch=4, at_least_once=True, max_unacked=3, exist_ok=True)
    prodcon.ReadyQueue.create("x", 10, 8, dead_letter=("letters", 3), at_least_once=True)
except prodcon.OptionsDiffer as error:
    names: list[str] = [difference.option for difference in error.differences]
except prodcon.Stopped:
    pass
with prodcon.ReadyQueue.create("x", 10, 100).reserve(5) as block:
    memoryview(block)[:] = b"12345"
producer = Producer([queue], work_timeout=0.1)
producer.start_new((1,), {"a": 2})
state: int = producer.get_state()
"""


BUFFERS = """
import numpy
import prodcon

queue = prodcon.ReadyQueue.create("x", 10, 100)
with queue.reserve(8) as block:
    numbers = numpy.frombuffer(block, dtype=numpy.int64)
    numbers[:] = 1
    memoryview(block)[0] = 1
with queue.take() as item:
    octets = numpy.frombuffer(item, dtype=numpy.uint8)
    copies: tuple[bytes, bytearray] = bytes(item), bytearray(item)
    queue.put(item)
queue.put(obj=numpy.zeros(3))
queue.lossy = True
"""


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_buffers_are_what_numpy_takes(checker, version, children, tmp_path):
    for needed in (checker, "numpy"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"SKIPPED: {needed} is not installed: pip install {needed}")
    (tmp_path / "buffers.py").write_text(BUFFERS)
    options = {"mypy": ["--python-version", version], "pyright": ["--pythonversion", version, "--pythonpath", sys.executable]}
    child = children.start(sys.executable, "-m", checker, *options[checker], tmp_path / "buffers.py", cwd=tmp_path, stdout=-1, stderr=-2)
    out, _ = child.communicate(timeout=DEADLINE)
    if checker == "pyright" and "error: " not in out and child.returncode not in (0, 1):
        pytest.skip(f"SKIPPED: pyright does not run here (it needs Node.js): {out[-300:]}")
    assert child.returncode == 0, out


def test_a_users_program_is_checked(children, tmp_path):
    (tmp_path / "good.py").write_text(PROGRAM)
    children.run(sys.executable, "-m", "mypy", "--strict-optional", tmp_path / "good.py", cwd=tmp_path)
    (tmp_path / "bad.py").write_text(PROGRAM + "number = queue.name\n")
    child = children.start(sys.executable, "-m", "mypy", tmp_path / "bad.py", cwd=tmp_path, stdout=-1)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 1 and "incompatible type" in out.lower(), out
