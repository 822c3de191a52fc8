#!/usr/bin/env python3
"""Envelopes and fragments a second time, from spec/control.md section 14.1 alone.

    python3 tests/vectors/envelope.py             derives every value of envelope.txt again
    python3 tests/vectors/envelope.py --write     writes envelope.txt anew, for a change of section
                                                  14.1

Needs Python 3.9 and the package `cryptography`.
"""

from shared import Form, fill, gcm, hkdf, main, sha256, u16, u32, u8

SIZES = (1024, 2048, 4096, 8192, 16384)
WHOLE, PART = 16_331, 16_053
FORM = Form(numbers=["length", "index", "size", "count"], texts=["error", "why"], lists=["path"])
LANE_KEY = fill("lane key", 32)


def pattern(length):
    """The message of a length: byte i is (i + floor(i / 256)) mod 256."""
    return bytes((i + (i >> 8)) & 255 for i in range(length))


def envelope(salt, content, size=None, padding=None, length=None):
    size = size or next(size for size in SIZES if 32 + 4 + len(content) + 16 <= size)
    room = size - 48 - 4 - len(content)
    plain = u32(len(content) if length is None else length) + content + (bytes(room) if padding is None else padding)
    return salt + gcm(hkdf(salt, LANE_KEY, b"sottovoce 2 envelope", 32), bytes(12), plain)


def parts_of(message):
    return [message[at : at + PART] for at in range(0, len(message), PART)]


def tree(nonce, message):
    """(root, path of each part)."""
    level = [sha256(b"sottovoce 2 part" + nonce + part) for part in parts_of(message)]
    paths = [[] for _ in level]
    depth = 0
    while len(level) > 1:
        for index, path in enumerate(paths):
            place = index >> depth
            if place ^ 1 < len(level):
                path.append(level[place ^ 1])
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [sha256(b"sottovoce 2 node" + b"".join(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
        depth += 1
    return level[0], paths


def fragment(nonce, length, index, path, part):
    return u8(1) + nonce + u32(length) + u16(index) + b"".join(path) + part


def lines():
    yield FORM.line("handle", dict(lane_key=LANE_KEY, handle=hkdf(b"", LANE_KEY, b"sottovoce 2 handle", 16)))
    for length in (1, 970, 971, 1994, 1995, 4043, 8139, 8140, WHOLE - 1, WHOLE):
        salt = fill(f"envelope {length}", 32)
        sealed = envelope(salt, u8(0) + pattern(length))
        case = dict(lane_key=LANE_KEY, salt=salt, length=length, size=len(sealed), sha256=sha256(sealed))
        if len(sealed) <= 2048:
            case["envelope"] = sealed
        yield FORM.line("whole", case)

    for length, indices in ((16_332, (0, 1)), (5 * PART - 7, (0, 2, 3, 4)), (6 * PART, (4, 5)), (256 * PART, (0, 255))):
        nonce, message = fill(f"nonce {length}", 16), pattern(length)
        root, paths = tree(nonce, message)
        named = sha256(b"sottovoce 2 message" + nonce + u32(length) + root)
        parts = parts_of(message)
        yield FORM.line("message", dict(nonce=nonce, length=length, count=len(parts), root=root, id=named))
        for index in indices:
            content = fragment(nonce, length, index, paths[index], parts[index])
            salt = fill(f"fragment {length} {index}", 32)
            sealed = envelope(salt, content)
            case = dict(nonce=nonce, length=length, index=index, path=paths[index], content=sha256(content))
            yield FORM.line(
                "fragment", case | dict(lane_key=LANE_KEY, salt=salt, size=len(sealed), sha256=sha256(sealed))
            )
    yield from refused()


def refused():
    salt, hello = fill("refused", 32), u8(0) + b"hello"
    good = envelope(salt, hello)
    length = 16_332
    nonce, message = fill(f"nonce {length}", 16), pattern(length)
    _, paths = tree(nonce, message)
    last = parts_of(message)[1]
    cases = [
        ("a bit of the salt", bytes([good[0] ^ 1]) + good[1:]),
        ("a bit of the text", good[:40] + bytes([good[40] ^ 1]) + good[41:]),
        ("a bit of the tag", good[:-1] + bytes([good[-1] ^ 1])),
        ("cut short", good[:-1]),
        ("one byte more", good + b"\0"),
        ("empty", b""),
        ("another size", envelope(salt, hello, size=1025)),
        ("half a size", envelope(salt, hello, size=512)),
        ("padding that is not zero", envelope(salt, hello, padding=bytes(1024 - 52 - 6 - 1) + b"\1")),
        ("a length that is too great", envelope(salt, hello, length=973)),
        ("no content", envelope(salt, b"")),
        ("a whole message of no bytes", envelope(salt, u8(0))),
        ("another kind of content", envelope(salt, u8(2) + b"hello")),
        ("a fragment of a message that fits", envelope(salt, fragment(nonce, 16_331, 1, paths[1], last[:-1]))),
        (
            "a fragment of a message that is too long",
            envelope(salt, fragment(nonce, 256 * PART + 1, 255, [bytes(32)] * 8, bytes(64))),
        ),
        ("an index that is too great", envelope(salt, fragment(nonce, length, 2, paths[1], last))),
        ("a part one byte too short", envelope(salt, fragment(nonce, length, 1, paths[1], last[:-1]))),
        ("a part one byte too long", envelope(salt, fragment(nonce, length, 1, paths[1], last + b"\0"))),
        ("a path with a hash too many", envelope(salt, fragment(nonce, length, 1, paths[1] + [bytes(32)], last))),
        ("a path with a hash too few", envelope(salt, fragment(nonce, length, 1, [], last))),
        ("a fragment that ends early", envelope(salt, fragment(nonce, length, 1, [], b"")[:-1])),
    ]
    for name, data in cases:
        yield FORM.line(
            "refused",
            dict(
                lane_key=LANE_KEY,
                why=name.replace(" ", "_"),
                error="Malformed" if "no_bytes" in name.replace(" ", "_") else "Envelope",
                envelope=data,
            ),
        )


HEADER = """\
# Envelopes and fragments (spec/control.md section 14.1). `size` and `sha256` are of the whole
# envelope. Written by `python3 tests/vectors/envelope.py --write`, checked by the same script and
# by `cargo test`. Byte i of the message of a length is (i + floor(i / 256)) mod 256. `content` is
# SHA-256 of what the envelope holds.
"""

if __name__ == "__main__":
    main(__doc__, "envelope.txt", HEADER, list(lines()))
