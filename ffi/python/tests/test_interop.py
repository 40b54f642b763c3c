"""The same queues from Python, from Rust (the command line) and from C."""

import ctypes
import dataclasses
import json
import os

import prodcon
import pytest
from conftest import DEADLINE, ROOT


def test_python_puts_and_rust_gets(cli, children):
    with prodcon.ReadyQueue.create("lines", 10, 100) as queue:
        queue.put_many([b"one", b"", b"three"])
        out, _ = children.run(cli, "get", "lines", "--count", "3")
        assert out == "one\n\nthree\n" and queue.empty()
        queue.unlink()


def test_rust_puts_and_python_gets(cli, children, tmp_path):
    children.run(cli, "create", "lines", "--capacity", "10", "--item-size", "100")
    (tmp_path / "lines").write_text("one\ntwo\n")
    children.run(cli, "put", "lines", "--from", tmp_path / "lines")
    queue = prodcon.ReadyQueue.attach("lines")
    assert queue.get_many(10) == [b"one", b"two"]
    with queue.reserve(5) as block:
        memoryview(block)[:] = b"three"
    assert children.run(cli, "get", "lines")[0] == "three\n"
    queue.close()  # one that is in use is not removed
    children.run(cli, "rm", "lines")


def test_rust_waits_for_python(cli, children):
    with prodcon.ReadyQueue.create("lines", 10, 100) as queue:
        import subprocess

        child = children.start(cli, "get", "lines", "--follow", stdout=subprocess.PIPE)
        for number in range(100):
            queue.put(b"%d" % number)
        queue.state = 3
        out, _ = child.communicate(timeout=DEADLINE)
        assert out == "".join(f"{number}\n" for number in range(100)) and child.returncode == 0
        queue.unlink()


def test_both_see_the_same_figures_and_the_same_gate(cli, children):
    with prodcon.ReadyQueue(10, name="objects") as queue:
        children.run(cli, "ready", "objects")
        assert queue.is_ready()
        queue.put({"a": 1})
        queue.get()
        queue.put(2)
        told = json.loads(children.run(cli, "stat", "objects", "--json")[0])
        ours = dataclasses.asdict(queue.stats())
        ours["held"] = ours.pop("unacked")  # its name in JSON
        assert {name: told.get(name) for name in ours} == ours
        assert told["puts"] == 2 and told["gets"] == 1
        children.run(cli, "state", "objects", "stopped")
        assert queue.state == 1
        assert json.loads(children.run(cli, "doctor", "objects", "--json")[0])["ok"]


def test_a_rust_program_can_put_objects_by_the_frames(cli, children, tmp_path):
    with prodcon.ReadyQueue(10, name="objects") as queue:
        queue.set_ready()
        (tmp_path / "lines").write_bytes(b"bsome bytes\nssome text\nN\nT\n")
        children.run(cli, "put", "objects", "--from", tmp_path / "lines")
        assert queue.get_many(4) == [b"some bytes", "some text", None, True]


@pytest.fixture
def library():
    """libprodcon, through ctypes."""
    path = os.environ.get("PRODCON_LIBRARY", str(ROOT / "target" / "release" / "libprodcon.so"))
    if not os.path.exists(path):
        pytest.skip(f"SKIPPED: {path} is not there: build it with `cargo build --release`, or say where it is in PRODCON_LIBRARY")
    return ctypes.CDLL(path)


def test_c_and_python_share_a_queue(library):
    handle = ctypes.c_void_p()
    with prodcon.ReadyQueue.create("both", 10, 100) as queue:
        assert library.prodcon_queue_attach(b"both", ctypes.byref(handle)) == 0
        forever = ctypes.c_int64(-1)
        for number in range(50):
            item = b"to python %d" % number
            assert library.prodcon_queue_put(handle, item, ctypes.c_size_t(len(item)), forever) == 0
            assert queue.get(timeout=DEADLINE) == item
            with queue.reserve(10) as block:
                memoryview(block)[:] = b"to c %05d" % number
            buffer, length = ctypes.create_string_buffer(100), ctypes.c_size_t()
            assert library.prodcon_queue_get(handle, buffer, ctypes.c_size_t(100), ctypes.byref(length), forever) == 0
            assert buffer.raw[: length.value] == b"to c %05d" % number
        library.prodcon_queue_close(handle)
        queue.unlink()
    assert os.listdir(os.environ["PRODCON_DIR"]) == []
