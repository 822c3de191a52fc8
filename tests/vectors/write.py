#!/usr/bin/env python3
"""Writes the media plane's vectors anew, all but those of RFC 9605, and checks them.

    python3 tests/vectors/write.py

For a change of the wire format, which changes SPEC.md too; nothing else runs this.
"""

import hashlib
import sys

from check import FORM, HERE, check, check_frame_key, check_secrets_of
from derive import (
    SUITES,
    assign_kids,
    base_keys,
    encode_header,
    epoch_context,
    in_memory,
    kid_candidate,
    kid_key,
    opus_pad,
    whole_packet,
)


def line(topic, **values):
    return FORM.line(topic, values)


COUNT_UP = bytes(range(64))
GROUP_ID, AUTHENTICATOR = b"vectors", bytes(range(0x80, 0xA0))
# Nothing else in a process's memory looks like these, which tests/wiping.rs depends on.
EPOCH_SECRET = hashlib.sha256(b"sottovoce vectors: epoch secret").digest()
SEED = hashlib.sha256(b"sottovoce vectors: seed of leaf 1").digest()
OTHER_SEED = hashlib.sha256(b"sottovoce vectors: seed of leaf 0").digest()


def headers():
    edges = sorted({0, 1, 6, 7, 8, 9, *(256**n + d for n in range(1, 8) for d in (-1, 0)), 2**64 - 1})
    for kid in edges:
        for ctr in edges:
            yield line("header", kid=kid, ctr=ctr, encoded=encode_header(kid, ctr))


def refused_headers():
    yield line("refused", encoded=b"")
    for number in range(8):  # a number below 8 in a byte of its own: KID, then CTR
        yield line("refused", encoded=bytes([0x80, number]))
        yield line("refused", encoded=bytes([0x08, number]))
    for size in range(2, 9):  # a leading zero byte: KID, then CTR
        yield line("refused", encoded=bytes([0x80 | (size - 1) << 4, 0]) + b"\xff" * (size - 1))
        yield line("refused", encoded=bytes([0x08 | (size - 1), 0]) + b"\xff" * (size - 1))
    yield line("refused", encoded=bytes([0xB9, 0x00, 0xFF, 0xFF, 0xFF, 0x01, 0x00]))  # the library's own form, KID too long
    yield line("refused", encoded=bytes([0xB9, 0x80, 0xFF, 0xFF, 0xFF, 0x00, 0xFF]))  # the same, CTR too long
    for size in (1, 2, 5, 6):  # the library's own form, cut short
        yield line("refused", encoded=bytes([0xB9, 0x80, 0xFF, 0xFF, 0xFF, 0x01, 0x00])[:size])
    for config in (0x80, 0x08, 0xF0, 0xFF):  # nothing behind the first byte
        yield line("refused", encoded=bytes([config]))


def ratchets():
    for suite in (4, 5):
        context = epoch_context(GROUP_ID, 7, AUTHENTICATOR)
        for step, base_key in enumerate(base_keys(suite, EPOCH_SECRET, context, 6)):
            yield line(
                "ratchet",
                suite=suite,
                epoch_secret=EPOCH_SECRET,
                group_id=GROUP_ID,
                epoch=7,
                authenticator=AUTHENTICATOR,
                context=context,
                step=step,
                base_key=base_key,
            )


def collision(key, step):
    """The first two leaves whose first candidates are the same."""
    seen = {}
    for leaf in range(1 << 20):
        lower = seen.setdefault(kid_candidate(key, step, leaf, 0), leaf)
        if lower != leaf:
            return [lower, leaf]
    raise AssertionError("no collision")


def kid_cases():
    context = epoch_context(GROUP_ID, 7, AUTHENTICATOR)
    for suite in (4, 5):
        keys = base_keys(suite, EPOCH_SECRET, context, 6)
        rows = [(step, [0, 1, 2, 5, 250, 65535, 2**32 - 1]) for step in range(6)]
        rows.append((1, collision(kid_key(suite, keys[1]), 1)))
        for step, leaves in rows:
            key = kid_key(suite, keys[step])
            kids = assign_kids(key, step, leaves)
            yield line("kids", suite=suite, base_key=keys[step], step=step, kid_key=key, leaves=leaves, kids=kids)


def frame_keys():
    for suite in (4, 5):
        base_key = COUNT_UP[: SUITES[suite][2]]
        for kid in (0, 0x123, 0x80000004, 0xFFFFFFFF):
            yield line("frame_key", **frame_key_case(suite, base_key, kid, 0x4567))
        for ctr in (0x100, 0xFFFF):
            yield line("frame_key", **frame_key_case(suite, base_key, 0x9ABCDEF0, ctr))


def frame_key_case(suite, base_key, kid, ctr):
    case = dict(suite=suite, base_key=base_key, kid=kid, ctr=ctr)
    return case | check_frame_key(case)


# Packets of all four codes; the bytes of a frame say which frame it is.
CODE_0 = bytes([0x78, 0xA0, 0xA1, 0xA2])
CODE_1 = bytes([0x79, 0xB0, 0xB1, 0xC0, 0xC1])
CODE_2 = bytes([0x7A, 0x01, 0xB0, 0xC0, 0xC1])
CODE_2_LONG = bytes([0x7A, 0xFC, 0x01]) + bytes(256) + b"\xc0"
CODE_3_CBR = bytes([0x7B, 0x03, 0xB0, 0xC0, 0xD0])
CODE_3_VBR = bytes([0x7B, 0x83, 0x01, 0x02, 0xB0, 0xC0, 0xC1, 0xD0])
CODE_3_PADDED = bytes([0x7B, 0x42, 0x03, 0xB0, 0xC0, 0, 0, 0])
CODE_3_PADDED_EMPTY = bytes([0x7B, 0x41, 0x00, 0xB0])
CODE_3_PADDED_LONG = bytes([0x7B, 0x41, 0xFF, 0x00, 0xB0]) + bytes(254)
SILENT = bytes([0x78])


def paddings():
    packets = [SILENT, CODE_0, CODE_1, CODE_2, CODE_3_CBR, CODE_3_VBR, CODE_3_PADDED, CODE_3_PADDED_EMPTY]
    for packet in packets:
        grown_by = (0, 1, 2, 3, 74, 254, 255, 256, 257, 258, 259, 512)
        for extra in grown_by:
            size = len(packet) + extra
            yield line("padding", packet=packet, size=size, fill=extra % 2, padded=opus_pad(packet, size, extra % 2))
    for packet in (CODE_2_LONG, CODE_3_PADDED_LONG):
        for extra in (0, 1, 2, 254, 256):
            size = len(packet) + extra
            yield line("padding", packet=packet, size=size, fill=1, padded=opus_pad(packet, size, 1))
    for size in (16, 240, 760, 764, 1000):
        yield line("padding", packet=CODE_0, size=size, fill=1, padded=opus_pad(CODE_0, size, 1))


def refused_opus():
    cases = [
        b"",  # R1
        b"\x78" + bytes(1276),  # R2, one frame
        b"\x79" + bytes(2552),  # R2, two frames
        b"\x7a\x00" + bytes(1276),  # R2, the second frame
        b"\x7b\x01" + bytes(1276),  # R2
        b"\x7b\x82\x00" + bytes(1276),  # R2, the last frame
        b"\x79\x01",  # R3
        b"\x79\x01\x02\x03",  # R3
        b"\x7a",  # R4: no length
        b"\x7a\xfc",  # R4: half a length
        b"\x7a\x02\x01",  # R4: shorter than its first frame
        b"\x7b",  # R5: no count
        b"\x7b\x00",  # R5: no frames
        b"\x7b\x40\x00",  # R5: no frames, padded
        b"\x7b\x07" + bytes(7),  # R5: 7 x 20 ms
        b"\x83\x31" + bytes(49),  # R5: 49 x 2.5 ms
        b"\x1b\x03" + bytes(3),  # R5: 3 x 60 ms
        b"\x7b\x02\x01",  # R6: one byte for two frames
        b"\x7b\x41",  # R6: no padding length
        b"\x7b\x41\xff",  # R6: half a padding length
        b"\x7b\x41\x03\x01\x02",  # R6: more padding than packet
        b"\x7b\x83\x02\x02\x01\x01\x01",  # R7: longer than the packet
    ]
    for packet in cases:
        yield line("refused", packet=packet)


def packets():
    common = dict(
        epoch_secret=EPOCH_SECRET,
        group_id=GROUP_ID,
        epoch=7,
        authenticator=AUTHENTICATOR,
        leaves=[0, 1, 5],
        leaf=1,
        seed=SEED,
        captured=0x0190_1234_5678,
        level=0x85,
    )
    for suite in (4, 5):
        rows = [
            (0, 0x100, True, 120, CODE_0, 0x00),
            (1, 0x1234, True, 240, CODE_1, 0x84),
            (5, 0xFFFF, True, 1000, CODE_3_VBR, 0x07),
            (0, 0x100, False, 16, SILENT, 0x00),
            (1, 0x1234, False, 240, CODE_2, 0x00),
            (5, 0xFFFF, False, 1000, CODE_3_PADDED, 0x00),
        ]
        for step, ctr, signed, size, packet, notes in rows:
            case = common | dict(suite=suite, step=step, ctr=ctr, signed=signed, size=size, packet=packet, notes=notes)
            yield line("packet", **(case | whole_packet(case)))


def secrets():
    common = dict(epoch_secret=EPOCH_SECRET, group_id=GROUP_ID, epoch=7, authenticator=AUTHENTICATOR)
    common |= dict(leaves=[0, 1, 5], leaf=1, seed=SEED, other_seed=OTHER_SEED, packet=CODE_0, size=120, signed=True)
    common |= dict(ctr=0x100, captured=1, level=2, notes=0)
    for suite in (4, 5):
        case = common | dict(suite=suite)
        yield line("of", **(case | check_secrets_of(case)))
        for name, value in in_memory(case).items():
            yield line("secret", name=name, bytes=value)


ABOUT = {
    "header.txt": ("SFrame headers (RFC 9605 section 4.3) at every length boundary, and encodings that are refused.", (headers, refused_headers)),
    "ratchet.txt": ("From an epoch secret to the base keys of its steps (SPEC section 4.2, RFC 9605 section 5.1).", (ratchets,)),
    "kid.txt": ("Who has which KID in a step (SPEC section 4.4). The last case of each suite is a collision.", (kid_cases,)),
    "frame_key.txt": ("Key, salt and content key of a KID, and what depends on a counter (RFC 9605 section 4.4.2, SPEC section 4.3).", (frame_keys,)),
    "padding.txt": ("Opus packets grown to a size (RFC 6716 section 3.2.5, SPEC section 5.1), and packets that are refused.", (paddings, refused_opus)),
    "wiping.txt": ("The secrets of one epoch as they may lie in memory, for tests/wiping.rs to search for.", (secrets,)),
    "signature.txt": ("From an epoch secret to a sealed packet, with every value between (SPEC section 5).", (packets,)),
}


def write():
    for name, (about, sources) in ABOUT.items():
        head = [
            f"# {about}",
            "# Written by `python3 tests/vectors/write.py`, checked by `check.py` beside it and by `cargo test`.",
            "# One case a line: a topic, then name=value pairs. Numbers decimal, bytes hex, lists with commas between.",
        ]
        lines = head + [case for source in sources for case in source()]
        (HERE / name).write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(__doc__)
    write()
    sys.exit(check())
