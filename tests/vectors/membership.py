#!/usr/bin/env python3
"""Stored memberships a second time, from spec/control.md section 14.14 alone.

    python3 tests/vectors/membership.py             derives every value of membership.txt again
    python3 tests/vectors/membership.py --write     writes membership.txt anew, for a change of
                                                    section 14.14

Needs Python 3.9 and the package `cryptography`.
"""

import law
from room import BOB, CAROL, GROUP_ID, HOST, LANE_KEY, MODERATOR, SALT, TERMS, standing, table, tag
from shared import Form, fill, fingerprint, main, public, u8, u16, u32, u64, v8, v16, v32

FORM = Form(texts=["what", "why", "relays"], lists=["relays"])
T = 1_790_000_000_000
TERM = fill("term of the moderator", 16)


def numbered(items, size=u16):
    return size(len(items)) + b"".join(items)


def live(statements, pins=()):
    """The statements of the live set, ascending by id, and what a law made of them."""
    tags = [tag(seed) for seed in (HOST, MODERATOR, BOB, CAROL)]
    found = law.law_of(GROUP_ID, SALT, public(HOST), [one for one, _ in statements], list(pins))
    assert tags and set(found["live"]) == {name for _, name in statements}, "the set is live"
    return [one for one, _ in sorted(statements, key=lambda one: one[1])]


def law_store(own, statements, anchor=u8(0), pins=(), numbers=(), proofs=(), fallen=(), version=2):
    out = u8(version) + public(own) + anchor + v32(numbered(statements, u32)) + numbered(pins)
    return out + numbered(numbers, u32) + numbered(proofs) + numbered(fallen)


def membership(own, store, admission=0, relays=("relay.example:443",), terms=TERMS, **more):
    out = u8(more.get("version", 3)) + public(own) + LANE_KEY + u8(admission)
    out += u64(more.get("stamp", 0)) + u64(more.get("clock", 0)) + u8(len(relays))
    out += b"".join(v8(name.encode()) for name in relays) + v16(terms) + v32(store)
    out += numbered(more.get("times", ())) + numbered(more.get("keys", ())) + numbered(more.get("invites", ()))
    return out + more.get("door", u8(0))


def lines():
    fresh = law_store(HOST, [])
    yield FORM.line("membership", dict(what="fresh", relays=["relay.example:443"], bytes=membership(HOST, fresh)))

    moderator = public(MODERATOR) + TERM + u8(0)
    entry = tag(BOB) + u8(3) + u32(9) + u8(0) + u32(0)
    made = table(HOST, GROUP_ID, T, public(HOST), [moderator], [entry])
    words = [standing(MODERATOR, TERM, tag(CAROL), 0x81, 1), standing(HOST, GROUP_ID[:16], tag(BOB), 0x13, 10)]
    statements = live([(made["statement"], made["id"]), *words])
    own = [TERM + tag(CAROL) + u8(1) + u32(1)]
    relays = ["relay.example:443", "quic:[2001:db8::1]:443#" + "A" * 43]
    times = sorted(fingerprint(public(seed)) + u64(T) + u64(0) for seed in (HOST, BOB))
    invites = [fill("invite", 16) + u64(1_800_000_000) + u16(1) + fill("tag of the invite", 16)]
    counts = [fill("tag of another", 16) + u16(2)]
    door = u8(1) + fill("answer key", 32) + fill("door", 32) + numbered(counts)
    stamped = dict(stamp=T + 7, clock=T + 5)
    whole = dict(relays=relays, admission=1, times=times, keys=[public(BOB)], invites=invites, door=door, **stamped)
    full = membership(MODERATOR, law_store(MODERATOR, statements, numbers=own), **whole)
    yield FORM.line("membership", dict(what="of_a_moderator", relays=relays, bytes=full))

    over = table(HOST, GROUP_ID, T + 1, public(MODERATOR))
    after = table(MODERATOR, over["id"], 5, public(MODERATOR))
    handed = live([(over["bare"], over["id"]), (after["statement"], after["id"])])
    anchored = u8(1) + public(HOST) + GROUP_ID
    store = law_store(BOB, handed, anchor=anchored, pins=[over["id"]])
    yield FORM.line(
        "membership", dict(what="of_a_newcomer", relays=relays, bytes=membership(BOB, store, relays=relays))
    )

    dead = standing(MODERATOR, fill("an ended term", 16), tag(CAROL), 0x81, 1)
    forged = [one[:-1] + bytes([one[-1] ^ 1]) if one[0] == 0 else one for one in statements]
    with_dead = [one for one, _ in sorted([(made["statement"], made["id"]), *words, dead], key=lambda one: one[1])]
    store = law_store(MODERATOR, statements, numbers=own)
    for why, data in [
        ("cut_short", full[:-1]),
        ("a_byte_more", full + b"\0"),
        ("empty", b""),
        ("of_version_1", membership(MODERATOR, store, version=1)),
        ("an_admission_that_is_neither", membership(MODERATOR, store, admission=2)),
        ("no_relay", membership(MODERATOR, store, relays=())),
        ("nine_relays", membership(MODERATOR, store, relays=["a:1"] * 9)),
        ("a_space_in_a_relay", membership(MODERATOR, store, relays=["a b"])),
        ("terms_with_a_byte_more", membership(MODERATOR, store, terms=TERMS + b"\0")),
        ("terms_of_version_1", membership(MODERATOR, store, terms=b"\1" + TERMS[1:])),
        ("a_law_of_version_1", membership(MODERATOR, law_store(MODERATOR, statements, version=1))),
        ("a_law_with_a_byte_more", membership(MODERATOR, store + b"\0")),
        ("a_set_that_is_not_live", membership(MODERATOR, law_store(MODERATOR, with_dead))),
        ("a_standing_whose_signature_does_not_hold", membership(MODERATOR, law_store(MODERATOR, forged))),
        (
            "a_register_that_is_neither",
            membership(MODERATOR, law_store(MODERATOR, statements, numbers=[TERM + tag(CAROL) + u8(2) + u32(1)])),
        ),
        ("a_door_that_is_neither", membership(MODERATOR, store, door=u8(2))),
    ]:
        yield FORM.line("refused", dict(why=why, bytes=data))


HEADER = """\
# Stored memberships, and bytes that are none (spec/control.md section 14.14): all of the latter are
# Malformed. Written by `python3 tests/vectors/membership.py --write`, checked by the same script
# and by `cargo test`.
"""

if __name__ == "__main__":
    main(__doc__, "membership.txt", HEADER, list(lines()))
