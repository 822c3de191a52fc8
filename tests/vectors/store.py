#!/usr/bin/env python3
"""The store's files written a second time, from SPEC.md section 11 alone.

    python3 tests/vectors/store.py             derives every value of store.txt again, and counts
    python3 tests/vectors/store.py --write     writes store.txt anew, then checks it

A line is one case: a topic, then name=value pairs. Numbers are decimal, bytes are hex, names of
records and files are text. Needs Python 3.9 and the package `cryptography` (AES-GCM).
"""

import functools
import sys

import shared
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from shared import HERE, be, gcm, mac, v8

FILE = HERE / "store.txt"
NUMBERS = {"number", "number0", "number1", "counter"}
TEXTS = {"file", "name0", "name1", "why"}
# The name of an identity is bytes, those of records are text.
TEXT_NAMES = {"record", "room"}


fill = functools.partial(shared.fill, of="sottovoce test store ")


def hkdf(store_key, info):
    return shared.hkdf(b"", store_key, info, 32)


# ---- SPEC ------------------------------------------------------------------------------------------------------------


def file_of(store_key, name):
    return mac(hkdf(store_key, b"sottovoce 1 store name"), name)[:16]


def seal(store_key, nonce, file, text, version=1):
    key = hkdf(store_key, b"sottovoce 1 store seal")
    aad = b"sottovoce 1 record" + be(version, 1) + file
    return be(version, 1) + nonce + gcm(key, nonce, text, aad)


def text_of(name, number, content, size=None, length=None, last=b""):
    text = v8(name) + be(number, 8) + be(len(content) if length is None else length, 4) + content
    if size is None:
        size = 1024
        while size < len(text) + 29:
            size *= 2
    return text.ljust(size - 29 - len(last), b"\0") + last


def record(case):
    name = case["name"].encode()
    file = file_of(case["store_key"], name)
    text = text_of(name, case["number"], case["content"])
    return dict(file=file.hex(), sealed=seal(case["store_key"], case["nonce"], file, text))


def index_content(entries):
    return be(len(entries), 2) + b"".join(v8(name) + be(number, 8) for name, number in entries)


def index(case):
    entries = [(case[f"name{i}"].encode(), case[f"number{i}"]) for i in range(2)]
    assert entries == sorted(entries) and all(number <= case["counter"] for _, number in entries)
    return dict(content=index_content(entries))


def identity(case):
    return dict(content=b"\1" + case["seed"] + v8(case["name"]))


def room(case):
    return dict(name="room/" + case["handle"].hex())


def refused(case):
    """Whether the reason is the one that is named: everything before it holds."""
    file, sealed, why = bytes.fromhex(case["file"]), case["sealed"], case["why"]
    if why == "size":
        assert len(sealed) < 1024 or len(sealed) & (len(sealed) - 1)
        return {}
    if why == "version":
        assert sealed[0] != 1
        return {}
    key = hkdf(case["store_key"], b"sottovoce 1 store seal")
    text = AESGCM(key).decrypt(sealed[1:13], sealed[13:], b"sottovoce 1 record\1" + file)
    name, rest = text[1 : 1 + text[0]], text[1 + text[0] :]
    number, length = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:12], "big")
    content, zeros = rest[12 : 12 + length], rest[12 + length :]
    broken = set()
    if file_of(case["store_key"], name) != file:
        broken.add("file")
    if length > len(rest) - 12:
        broken.add("length")
    if any(zeros):
        broken.add("zeros")
    if number > 2**32 - 1:
        broken.add("number")
    if len(name) > 64 or not all(0x21 <= byte <= 0x7E for byte in name):
        broken.add("name")
    if not name:
        count, at, entries = int.from_bytes(content[:2], "big"), 2, []
        for _ in range(count):
            size = content[at]
            entries.append((content[at + 1 : at + 1 + size], int.from_bytes(content[at + 1 + size : at + 9 + size], "big")))
            at += 9 + size
        names = [entry[0] for entry in entries]
        if at != len(content) or names != sorted(set(names)) or any(entry[1] > number for entry in entries):
            broken.add("index")
    assert broken == {why}, (broken, why)
    return {}


# How many cases there must be, and what derives their values.
CASES = {"record": (4, record), "index": (1, index), "identity": (1, identity), "room": (1, room), "refused": (9, refused)}


# ---- the file --------------------------------------------------------------------------------------------------------


def parse(topic, name, value):
    if name in NUMBERS:
        return int(value)
    if name in TEXTS or (name == "name" and topic in TEXT_NAMES):
        return value
    return bytes.fromhex(value)


def show(value):
    return value.hex() if isinstance(value, bytes) else str(value)


def read():
    for line in FILE.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            topic, *pairs = line.split(" ")
            pairs = (pair.split("=") for pair in pairs)
            yield topic, {name: parse(topic, name, value) for name, value in pairs}


def inputs():
    key = fill("key", 32)
    for i, (name, number, content) in enumerate(
        [
            ("identity", 1, b""),
            ("own.settings", 2**32 - 1, fill("content", 983)),
            ("room/" + fill("handle", 16).hex(), 77, fill("content", 943)),
            ("", 3, index_content([(b"identity", 3)])),
        ]
    ):
        yield "record", dict(store_key=key, nonce=fill(f"nonce {i}", 12), name=name, number=number, content=content)
    yield "index", dict(name0="identity", number0=1, name1="room/1", number1=9, counter=9)
    yield "identity", dict(seed=fill("seed", 32), name="Zoë".encode())
    yield "room", dict(handle=fill("handle", 16))

    nonce, name = fill("nonce", 12), b"a"
    file = file_of(key, name)
    whole = seal(key, nonce, file, text_of(name, 1, b"x", size=2048))
    two = [(b"b", 1), (b"a", 1)]
    for why, file, sealed in [
        ("size", file, whole[:1536]),
        ("version", file, seal(key, nonce, file, text_of(name, 1, b"x"), version=2)),
        ("file", file, seal(key, nonce, file, text_of(b"b", 1, b"x"))),
        ("length", file, seal(key, nonce, file, text_of(name, 1, b"x", length=983))),
        ("zeros", file, seal(key, nonce, file, text_of(name, 1, b"x", last=b"\1"))),
        ("number", file, seal(key, nonce, file, text_of(name, 2**32, b"x"))),
        ("name", file_of(key, b"a b"), seal(key, nonce, file_of(key, b"a b"), text_of(b"a b", 1, b"x"))),
        ("index", file_of(key, b""), seal(key, nonce, file_of(key, b""), text_of(b"", 1, index_content(two)))),
        ("index", file_of(key, b""), seal(key, nonce, file_of(key, b""), text_of(b"", 1, index_content([(b"a", 2)])))),
    ]:
        yield "refused", dict(store_key=key, why=why, file=file.hex(), sealed=sealed)


HEADER = """\
# The store's files (SPEC section 11). Written by `python3 tests/vectors/store.py --write`, checked
# by the same script and by `cargo test`. One case a line: a topic, then name=value pairs. Numbers
# decimal, bytes hex, names of records and files text.
"""


def write():
    lines = [
        " ".join([topic, *(f"{name}={show(value)}" for name, value in {**case, **CASES[topic][1](case)}.items())])
        for topic, case in inputs()
    ]
    FILE.write_text(HEADER + "\n".join(lines) + "\n", encoding="ascii")


def check():
    wrong, counts = 0, dict.fromkeys(CASES, 0)
    for topic, case in read():
        counts[topic] += 1
        for name, value in CASES[topic][1](case).items():
            if case[name] != value:
                wrong += 1
                print(f"store.txt: {topic}: {name} is {show(case[name])}, not {show(value)}")
    for topic, (count, _) in CASES.items():
        if counts[topic] != count:
            wrong += 1
            print(f"store.txt: {counts[topic]} cases of {topic}, not {count}")
    print(f"store.txt: {sum(counts.values())} cases, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    elif sys.argv[1:]:
        sys.exit(__doc__)
    sys.exit(check() != 0)
