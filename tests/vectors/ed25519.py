#!/usr/bin/env python3
"""Ed25519 at its edges: the cases of ed25519.txt, computed from the definition of the curve (RFC
8032 section 5.1).

    python3 tests/vectors/ed25519.py          checks the file
    python3 tests/vectors/ed25519.py --write  writes it anew, for a change of SPEC.md section 2.3;
                                              nothing else does

No library: the field, the curve and the group law are written out here. The kinds of cases are
those of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020), made anew from seeds that
are named below.
"""

import hashlib
import sys
from pathlib import Path

FILE = Path(__file__).parent / "ed25519.txt"

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)  # of -1
ZERO = (0, 1)


def recover(y, sign):
    """The point with this y and sign of x, or None (RFC 8032 section 5.1.3)."""
    y %= P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square:
        return None
    return (P - x if x and x & 1 != sign else x, y)


BASE = recover(4 * pow(5, -1, P), 0)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + y1 * x2) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def negative(a):
    return (-a[0] % P, a[1])


def times(n, a):
    out = ZERO
    while n:
        if n & 1:
            out = add(out, a)
        a, n = add(a, a), n >> 1
    return out


def encode(a):
    return number(a[1] | (a[0] & 1) << 255)


def number(n):
    return n.to_bytes(32, "little")


def of(encoded):
    n = int.from_bytes(encoded, "little")
    return n & (1 << 255) - 1, n >> 255


def decode(encoded):
    return recover(*of(encoded))


def challenge(r, a, message):
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def canonical(encoded):
    return of(encoded)[0] < P


def small(a):
    return times(8, a) == ZERO


def holds(key, message, signature):
    """SPEC section 2.3, rule by rule."""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    a, point = decode(key), decode(r)
    if s >= L or a is None or point is None or not canonical(key) or not canonical(r):
        return False
    if small(a) or small(point):
        return False
    return encode(add(times(s, BASE), negative(times(challenge(r, key, message), a)))) == r


def cofactored(key, message, signature):
    """The other equation that RFC 8032 allows, with no check of encodings: what a case would pass
    elsewhere."""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    a, point = decode(key), decode(r)
    if a is None or point is None:
        return False
    right = add(point, times(challenge(r, key, message), a))
    return times(8, times(s, BASE)) == times(8, right)


def secret(name):
    return int.from_bytes(hashlib.sha512(b"sottovoce ed25519 " + name.encode()).digest(), "little") % L


def torsion():
    """A point of order eight: L times any point that is not in a smaller subgroup."""
    for y in range(2, 100):
        point = recover(y, 0)
        if point:
            eighth = times(L, point)
            if times(4, eighth) != ZERO:
                return eighth
    raise AssertionError


EIGHTH = torsion()
FOURTH, HALF = times(2, EIGHTH), times(4, EIGHTH)


def sign(key, a, r_point, k, message, r=None):
    """R and S = k + challenge * a, with R as it is given."""
    r = r or encode(r_point)
    return r + number((k + challenge(r, key, message) * a) % L)


def search(condition):
    """The first message for which the challenge is as wanted."""
    for n in range(10_000):
        message = b"edge %d" % n
        if condition(message):
            return message
    raise AssertionError


def cases():
    a, k = secret("a"), secret("k")
    point, nonce = times(a, BASE), times(k, BASE)
    key, r, message = encode(point), encode(nonce), b"sottovoce"
    good = sign(key, a, nonce, k, message)
    s = int.from_bytes(good[32:], "little")
    yield "honest", key, message, good
    yield "an_empty_message", key, b"", sign(key, a, nonce, k, b"")
    yield "another_message", key, b"sottovocf", good
    yield "another_key", encode(times(secret("b"), BASE)), message, good
    yield "s_plus_l", key, message, r + number(s + L)
    yield "s_plus_l_to_the_brim", key, message, r + number(s + (2**256 - 1 - s) // L * L)
    yield "s_is_l", key, message, r + number(L)
    yield "s_is_zero", key, message, r + number(0)
    yield "r_with_the_other_sign", key, message, encode(negative(nonce)) + good[32:]

    # Keys of small order: S = k verifies whatever the message, once the challenge is a multiple of
    # their order.
    for name, weak in [("key_neutral", encode(ZERO)), ("key_of_order_2", encode(HALF)), ("key_of_order_4", encode(FOURTH)),
                       ("key_of_order_8", encode(EIGHTH)), ("key_neutral_with_sign", number(1 | 1 << 255)),
                       ("key_neutral_as_p_plus_1", number(P + 1)), ("key_of_order_4_as_p", number(P))]:
        message_8 = search(lambda m, weak=weak: challenge(r, weak, m) % 8 == 0)
        yield name, weak, message_8, r + number(k)
    # R of small order: S = challenge * a, and R as it would come out.
    for name, weak, encoded in [("r_neutral", ZERO, None), ("r_neutral_as_p_plus_1", ZERO, number(P + 1)),
                                ("r_of_order_8", EIGHTH, None)]:
        yield name, key, message, sign(key, a, weak, 0, message, encoded)

    # Mixed order: a good part and a small one. Which equation is meant decides, or the challenge
    # does.
    mixed = encode(add(point, EIGHTH))
    yes = search(lambda m: challenge(r, mixed, m) % 8 == 0)
    no = search(lambda m: challenge(r, mixed, m) % 8 == 4)
    yield "key_of_mixed_order_both_equations", mixed, yes, sign(mixed, a, nonce, k, yes)
    yield "key_of_mixed_order_cofactored_only", mixed, no, sign(mixed, a, nonce, k, no)
    r_mixed = add(nonce, EIGHTH)
    yield "r_of_mixed_order_cofactored_only", key, message, sign(key, a, r_mixed, k, message)
    cancels = search(lambda m: challenge(encode(r_mixed), mixed, m) % 8 == 7)
    yield "both_of_mixed_order_that_cancel", mixed, cancels, sign(mixed, a, r_mixed, k, cancels)

    # Not on the curve.
    outside = next(number(y) for y in range(2, 100) if recover(y, 0) is None)
    yield "key_not_on_the_curve", outside, message, good


def lines():
    yield "# Ed25519 signatures at the edges of the rules, and whether they hold (SPEC section 2.3)."
    yield "# Computed from the definition of the curve by `python3 tests/vectors/ed25519.py --write`; checked by it without `--write`, and by `cargo test`."
    yield "# `cofactored` is what the other equation of RFC 8032, without checks of encodings, would say."
    for name, key, message, signature in cases():
        verdict = int(holds(key, message, signature))
        other = int(cofactored(key, message, signature))
        yield (f"verify name={name} key={key.hex()} message={message.hex()} signature={signature.hex()}"
               f" holds={verdict} cofactored={other}")


def main():
    text = "\n".join(lines()) + "\n"
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(text)
    if FILE.read_text() != text:
        sys.exit("ed25519.txt is not what the definition of the curve says")
    print(f"ed25519.txt: {text.count('verify ')} cases hold")


if __name__ == "__main__":
    main()
