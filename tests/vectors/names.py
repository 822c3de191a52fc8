#!/usr/bin/env python3
"""Codes that people compare, names at relays, tokens and other short derivations a second time,
from SPEC.md alone.

    python3 tests/vectors/names.py             derives every value of names.txt again
    python3 tests/vectors/names.py --write     writes names.txt anew, for a change of these sections

Needs Python 3.9 and the package `cryptography`.
"""

from derive import expand, extract
from room import BOB, CAROL, HOST, LANE_KEY, MODERATOR, table, tag, GROUP_ID
from shared import Form, fill, hkdf, main, public, sha256, sign, u16, u64, u8, v8

FORM = Form(
    numbers=["slot", "room", "kid", "suite", "expiry", "status"],
    texts=["code", "call_id", "path", "pin", "secret", "what"],
    lists=["identities", "tags"],
)


# SPEC section 7.11.
def digits(label, content):
    out = hkdf(b"", content, label, 30)
    return " ".join(f"{int.from_bytes(out[at : at + 5], 'big') % 100_000:05}" for at in range(0, 30, 5))


def room_code(group_id, authenticator, identities):
    return digits(b"sottovoce 1 room code", v8(group_id) + v8(authenticator) + b"".join(sorted(identities)))


def pair_code(one, other):
    return " ".join(digits(b"sottovoce 1 pair code", key) for key in sorted((one, other)))


# SPEC sections 8.7 to 8.9.
def janus(handle, part):
    return hkdf(b"", handle, b"sottovoce 1 janus " + part, 16)


def line(topic, **case):
    return FORM.line(topic, case)


def lines():
    people = [public(seed) for seed in (HOST, MODERATOR, BOB, CAROL)]
    authenticator = fill("authenticator", 32)
    for some in (people[:1], people):
        code = room_code(GROUP_ID, authenticator, some)
        yield line(
            "room_code", group_id=GROUP_ID, authenticator=authenticator, identities=some, code=code.replace(" ", "")
        )
    for one, other in ((people[0], people[1]), (people[1], people[0])):
        yield line("pair_code", one=one, other=other, code=pair_code(one, other).replace(" ", ""))

    # Section 4.5: by what a sealer remembers a key.
    for suite, size in ((4, 32), (5, 64)):
        base_key, kid = fill("base key", size), 0x80000004
        name = expand(suite, extract(suite, base_key), b"sottovoce 1 name" + u64(kid), 16)
        yield line("key_name", suite=suite, base_key=base_key, kid=kid, name=name)

    handle = hkdf(b"", LANE_KEY, b"sottovoce 2 handle", 16)
    for slot in (0, 1, 63):
        yield line("rtp", handle=handle, slot=slot, call_id=hkdf(b"", handle, b"sottovoce 1 rtp" + u8(slot), 16).hex())
    nonce = fill("member", 16)
    yield line(
        "moq", handle=handle, member=nonce, path=hkdf(b"", handle, b"sottovoce 1 moq", 16).hex() + "/" + nonce.hex()
    )
    number = 2**52 + (int.from_bytes(janus(handle, b"room")[:7], "big") & (2**52 - 1))
    yield line(
        "janus", handle=handle, room=number, pin=janus(handle, b"pin").hex(), secret=janus(handle, b"secret").hex()
    )

    # Sections 8.2.1, 8.2.3, 8.2.7.
    issuer, serial, expiry = fill("issuer", 32), fill("serial", 16), 1_800_000_000
    token, hears, says = (
        serial + u64(expiry) + part + sign(issuer, b"sottovoce 1 join" + handle + serial + u64(expiry) + part)
        for part in (u8(0), u8(1), u8(2))
    )
    order = serial + u64(expiry) + sign(issuer, b"sottovoce 1 revoke" + serial + u64(expiry))
    yield line(
        "token",
        issuer=issuer,
        handle=handle,
        serial=serial,
        expiry=expiry,
        token=token,
        hears=hears,
        says=says,
        revocation=order,
    )
    ticket, cookie = fill("ticket", 16), fill("cookie", 16)
    for what, data in [
        ("hello", b"svrelay" + u8(1) + handle),
        ("hello_with_a_token", b"svrelay" + u8(2) + handle + token),
        ("hello_that_hears", b"svrelay" + u8(4) + handle + u8(1)),
        ("hello_that_says", b"svrelay" + u8(4) + handle + u8(2)),
        ("revocation", b"svrelay" + u8(3) + order),
        ("welcome", b"svrelay" + u8(1) + u8(0) + ticket),
        *((f"answer_{status}", b"svrelay" + u8(1) + u8(status)) for status in range(1, 7)),
        ("message", u16(5) + b"hello"),
        ("bind", b"\xff\0sv" + u8(1) + u8(1) + ticket + cookie),
        ("challenge", b"\xff\0sv" + u8(1) + u8(2) + ticket + cookie),
        ("bound", b"\xff\0sv" + u8(1) + u8(3) + ticket),
    ]:
        yield line("relay", what=what, bytes=data)

    # room.md K1: of members of one rank, all listed by the table, or by none. The first comes
    # first.
    in_force = table(HOST, GROUP_ID, 7, public(HOST))["id"]
    for drawn in (bytes(32), in_force):
        tags = sorted(
            (tag(seed) for seed in (MODERATOR, BOB, CAROL)),
            key=lambda one: sha256(b"sottovoce 2 turn" + drawn + one),
            reverse=True,
        )
        yield line("turn", table=drawn, tags=tags)


HEADER = """\
# Codes that people compare, names at relays, tokens, bytes of the reference relay, turns (SPEC
# sections 4.5, 7.11, 8.2, 8.7 to 8.9; room.md K1). Written by `python3 tests/vectors/names.py
# --write`, checked by the same script and by `cargo test`. Codes are without their spaces. Of
# `turn` the tags are in their order.
"""

if __name__ == "__main__":
    main(__doc__, "names.txt", HEADER, list(lines()))
