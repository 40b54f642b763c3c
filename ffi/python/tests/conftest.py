"""What all tests share: a segment directory of one's own, which has to be empty at the end; child processes that cannot outlive the test."""

import ctypes
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import prodcon
import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]

# A program that a shell started in the background ignores Ctrl-C, and so would all that the tests start, which send it to some.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A wait that takes longer has failed. Nothing here asserts that anything is fast: on a busy machine a process may get no time for a minute.
DEADLINE = 180.0


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def until(condition, what):
    """Waits until the condition holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """PRODCON_DIR of the test, in memory if possible; nothing may be left in it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="prodcon-test-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path))
    monkeypatch.setenv("PRODCON_DIR", str(path))
    yield path
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    import gc

    gc.collect()
    # Those that were given to others stay until the end of this process, else.
    prodcon._native._leave_kept()
    left = sorted(entry.name for entry in path.iterdir())
    shutil.rmtree(path)
    assert left == [], f"left behind: {left}"


class Children:
    """Child programs, killed at the end of the test."""

    def __init__(self):
        self.all = []

    def start(self, *command, **options):
        child = subprocess.Popen(command, preexec_fn=die_with_parent, text=True, **options)
        self.all.append(child)
        return child

    def python(self, text, *arguments, **options):
        """A Python program of its own, given as text."""
        return self.start(sys.executable, "-u", "-c", text, *arguments, **options)

    def run(self, *command, **options):
        """Runs a program to its end: its standard output. It must succeed."""
        child = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        out, err = child.communicate(timeout=3 * DEADLINE)
        assert child.returncode == 0, f"{command} ended with {child.returncode}\n{out}\n{err}"
        return out, err

    def kill(self):
        for child in self.all:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()


@pytest.fixture
def children():
    started = Children()
    yield started
    started.kill()


@pytest.fixture
def cli():
    """The command line of the repository."""
    path = ROOT / "target" / "release" / "prodcon"
    if not path.exists():
        pytest.skip(f"SKIPPED: {path} is not there: build it with `cargo build --release`")
    return str(path)


@pytest.fixture(params=["fork", "spawn"])
def start_method(request):
    """Both ways in which multiprocessing starts processes."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)
