"""Reads the files of test vectors."""

import sys

from leaves import Broken
from primitives import Bad

hx = bytes.fromhex


def lines(file):
    """The topic and the values of each line."""
    for line in open(f"{sys.argv[1]}/{file}.txt"):
        if line.strip() and not line.startswith("#"):
            topic, *values = line.rstrip("\n").split(" ")
            yield topic, dict(v.split("=", 1) for v in values)


def many(text):
    return [hx(x) for x in text.split(",") if x]


def refused(reason, read, *a):
    """Asserts that a reader refuses, for this reason if one is given."""
    try:
        read(*a)
    except Bad as why:
        said = "BrokenCommit" if isinstance(why, Broken) else str(why)
        assert reason is None or said == reason, (reason, said)
        return
    raise AssertionError(f"taken: {reason}")
