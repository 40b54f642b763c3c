"""Programs written for adv_prodcon run with another import line."""

import importlib.util
import os
import re
import sys

import pytest
from conftest import HERE

PROGRAMS = HERE / "programs"


def run(children, path, method, program):
    """Runs a program; it gets more time if the machine was too slow for it."""
    for seconds in ("2.5", "10", "40"):
        out, err = children.run(sys.executable, path, method, env={**os.environ, "SECONDS": seconds})
        try:
            check(program, out)
            break
        except AssertionError:
            if seconds == "40":
                raise
    return err


def numbers(out):
    return [int(line) for line in out.splitlines() if line.isdigit()]


def check(program, out):
    if program == "quick_start":
        batches = [[int(number) for number in batch.split(",")] for batch in re.findall(r"^Got :\[(.*)\] from producer$", out, re.M)]
        got = [number for batch in batches for number in batch]
        assert got == list(range(len(got))) and len(got) >= 2, out
    elif program == "kwargs_tag":
        assert "Message from Mary" in out and "Message from James" in out, out
    elif program == "message_pipe":
        assert "Resetting..." in out and out.rstrip().endswith("Exiting.") and numbers(out)[:2] == [0, 1], out
    else:
        assert out == "done\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("program", ["quick_start", "kwargs_tag", "message_pipe", "example_app"])
def test_a_program_for_adv_prodcon_runs_with_prodcon(program, method, children, directory):
    err = run(children, PROGRAMS / f"{program}.py", method, program)
    assert "Traceback" not in err, err
    assert os.listdir(directory) == []


@pytest.mark.parametrize("program", ["quick_start", "kwargs_tag", "message_pipe"])
def test_the_same_program_is_one_for_adv_prodcon(program, children, tmp_path):
    if importlib.util.find_spec("adv_prodcon") is None:
        pytest.skip("SKIPPED: adv_prodcon is not installed: pip install adv_prodcon==0.1.14")
    text = (PROGRAMS / f"{program}.py").read_text()
    text = text.replace("import prodcon as adv_prodcon", "import adv_prodcon").replace("from prodcon import", "from adv_prodcon import")
    assert "prodcon as" not in text and "from prodcon" not in text
    path = tmp_path / "program.py"
    path.write_text(text)
    run(children, path, "fork", program)


def readme_programs():
    text = (HERE.parent / "README.md").read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)


@pytest.mark.parametrize("number", range(len(readme_programs())))
def test_the_readmes_programs_run(number, children, tmp_path, directory):
    if importlib.util.find_spec("numpy") is None:
        pytest.skip("SKIPPED: numpy is not installed: pip install numpy")
    path = tmp_path / "program.py"
    path.write_text(readme_programs()[number])
    _, err = children.run(sys.executable, path)
    assert "Traceback" not in err, err
    assert os.listdir(directory) == []
