"""The kill test for Python's multiprocessing.Queue: four producers, four consumers, one of them after the other is killed and replaced or stopped for a while.

A program of its own, because such a queue goes to other processes by inheritance only. Prints one line of JSON. Arguments: seconds, seed.
What is counted, and how, is the same as in board.rs: a producer notes `intent` before and `done` after a put; consumers mark what they have got.
"""
import ctypes
import json
import multiprocessing as mp
import os
import random
import signal
import sys
import time

SLOTS = 4
MOST = 4_000_000
FOR_EVER = 3.0
TOO_LONG = 0.15


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def produce(queue, slot, intent, done, halt):
    die_with_parent()
    while not halt.value and intent[slot] < MOST:
        sequence = intent[slot]
        intent[slot] = sequence + 1
        queue.put((slot, sequence, bytes(48)))
        done[slot] = sequence + 1
    queue.close()
    queue.join_thread()  # its thread still writes what put() has returned for


def consume(queue, slot, marks, got, twice):
    die_with_parent()
    while True:
        producer, sequence, _ = queue.get()
        if marks[producer * MOST + sequence]:
            twice[slot] += 1
        marks[producer * MOST + sequence] = 1
        got[slot] += 1


def main():
    seconds, seed = float(sys.argv[1]), int(sys.argv[2])
    dice = random.Random(seed)
    ctx = mp.get_context("fork")
    queue = ctx.Queue(1024)
    numbers = lambda: ctx.RawArray(ctypes.c_uint64, SLOTS)
    intent, done, got, twice = numbers(), numbers(), numbers(), numbers()
    halt = ctx.RawValue(ctypes.c_int, 0)
    marks = ctx.RawArray(ctypes.c_ubyte, SLOTS * MOST)

    def start(index):
        slot = index % SLOTS
        if index < SLOTS:
            child = ctx.Process(target=produce, args=(queue, slot, intent, done, halt), daemon=True)
        else:
            child = ctx.Process(target=consume, args=(queue, slot, marks, got, twice), daemon=True)
        child.start()
        return child

    crew = [start(index) for index in range(2 * SLOTS)]
    result = dict(killed_producers=0, killed_consumers=0, paused=0, gave_up=0, wedged_after=None, corrupt=0)
    began = time.monotonic()
    while sum(got) < 100:
        if time.monotonic() - began > 20:
            sys.exit("nothing moved even before the first kill")
        time.sleep(0.001)
    moved, standstill, doubts = [time.monotonic(), 0, sum(got)], 0.0, []
    kills = lambda: result["killed_producers"] + result["killed_consumers"]

    def watch(pause):
        nonlocal standstill
        began = time.monotonic()
        while time.monotonic() - began < pause and result["wedged_after"] is None:
            time.sleep(0.001)
            now = time.monotonic()
            if sum(got) != moved[2]:
                moved[:] = [now, kills(), sum(got)]
            else:
                standstill = max(standstill, now - moved[0])
                if now - moved[0] > FOR_EVER:
                    result["wedged_after"] = moved[1]

    def replace(index):
        if index < SLOTS and intent[index] > done[index]:
            doubts.append((index, intent[index] - 1))
            done[index] = intent[index]
        crew[index] = start(index)

    end = time.monotonic() + seconds
    while time.monotonic() < end and result["wedged_after"] is None:
        watch(dice.uniform(0.002, 0.014))
        for index, child in enumerate(crew):
            if not child.is_alive():
                result["gave_up"] += 1
                replace(index)
        if time.monotonic() - moved[0] > TOO_LONG:
            continue
        index = dice.randrange(2 * SLOTS)
        if dice.randrange(5) == 0:
            os.kill(crew[index].pid, signal.SIGSTOP)
            watch(dice.uniform(0.005, 0.045))
            os.kill(crew[index].pid, signal.SIGCONT)
            result["paused"] += 1
            continue
        os.kill(crew[index].pid, signal.SIGKILL)
        crew[index].join()
        result["killed_producers" if index < SLOTS else "killed_consumers"] += 1
        replace(index)
    while result["wedged_after"] is None and time.monotonic() - moved[0] > TOO_LONG:
        watch(0.01)

    halt.value = 1
    deadline = time.monotonic() + (1 if result["wedged_after"] is not None else 5)
    while any(child.is_alive() for child in crew[:SLOTS]) and time.monotonic() < deadline:
        time.sleep(0.005)
    result["stuck"] = sum(child.is_alive() for child in crew[:SLOTS])
    last = [time.monotonic(), sum(got)]
    while time.monotonic() - last[0] < 1:
        time.sleep(0.005)
        if sum(got) != last[1]:
            last = [time.monotonic(), sum(got)]
    for child in crew:
        child.kill()
    for child in crew:
        child.join()
    doubts += [(slot, intent[slot] - 1) for slot in range(SLOTS) if intent[slot] > done[slot]]
    missing = sum(intent[slot] - sum(marks[slot * MOST:slot * MOST + intent[slot]]) for slot in range(SLOTS))
    doubted = sum(1 for slot, sequence in doubts if not marks[slot * MOST + sequence])
    result.update(standstill=standstill, put=sum(intent) - doubted, lost=missing - doubted, twice=sum(twice))
    print(json.dumps(result), flush=True)
    os._exit(0)  # no clean-up of a queue that may hang


main()
