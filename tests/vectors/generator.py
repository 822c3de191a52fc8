#!/usr/bin/env python3
"""The random generator of the library, computed a second time from SPEC.md section 9.

    python3 tests/vectors/generator.py          checks generator.txt
    python3 tests/vectors/generator.py --write  writes it anew, for a change of section 9; nothing
                                                else does
"""

import sys

from shared import HERE, mac, sha256

FILE = HERE / "generator.txt"


def draw(key, length):
    """(next key, output)."""
    blocks = (mac(key, b"sottovoce 1 draw" + n.to_bytes(8, "big")) for n in range(-(-length // 32)))
    return mac(key, b"sottovoce 1 key"), b"".join(blocks)[:length]


def stir(key, entropy):
    return mac(mac(key, entropy), b"sottovoce 1 stir")


CASES = [
    (bytes(range(32)), [32, 32, 16], [99], b"\7" * 32),
    (bytes(32), [0, 1, 31, 33, 64, 200], [99], b"\7" * 32),
    (b"\xff" * 32, [4, 8, 4], [1], bytes(range(32, 64))),
    (sha256(b"sottovoce vectors: generator"), [32, 32, 32, 32], [0, 2, 3], b"\x5a" * 32),
]


def lines():
    yield "# The random generator: what is drawn, and the key that each draw leaves (SPEC section 9)."
    yield "# Written by `python3 tests/vectors/generator.py --write`, checked by it without `--write`, and by `cargo test`."
    yield "# Entropy is stirred in before the draws that `stir_before` names, counted from 0; 99 is none."
    for key, draws, stirs, entropy in CASES:
        outputs, keys, start = [], [], key
        for at, length in enumerate(draws):
            if at in stirs:
                key = stir(key, entropy)
            key, out = draw(key, length)
            outputs.append(out.hex())
            keys.append(key.hex())
        yield (f"generator seed={start.hex()} draws={','.join(map(str, draws))} stir_before={','.join(map(str, stirs))}"
               f" entropy={entropy.hex()} outputs={','.join(outputs)} keys={','.join(keys)}")


def main():
    text = "\n".join(lines()) + "\n"
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(text)
    if FILE.read_text() != text:
        sys.exit("generator.txt is not what SPEC.md section 9 says")
    print(f"generator.txt: {len(CASES)} cases hold")


if __name__ == "__main__":
    main()
