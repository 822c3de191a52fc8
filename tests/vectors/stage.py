#!/usr/bin/env python3
"""Keys and messages of stage rooms a second time, from spec/stage.md alone.

    python3 tests/vectors/stage.py             derives every value of stage.txt again
    python3 tests/vectors/stage.py --write     writes stage.txt anew, for a change of that page

Needs Python 3.9 and the package `cryptography`.
"""

from derive import expand, extract
from names import digits
from room import BOB, CAROL, GROUP_ID, HOST, LANE_KEY, tag
from shared import Form, derive_key_pair, fill, gcm, hkdf, hpke_seal, main, public, raw, sha256, sign, u8, u16, u32, u64, v8, v16

FORM = Form(
    numbers=["suite", "n", "first", "step", "slot", "leaf", "made", "size", "index"],
    texts=["code", "use", "what", "why", "lane"],
    lists=["keys"],
)
HALL_KEY = hkdf(b"", LANE_KEY, b"sottovoce 2 hall lane", 32)
USES = {"lane": b"envelope", "cell": b"cell", "down": b"down", "up": b"up"}
SIZES = (256, 512, 1_024, 2_048, 4_096, 8_192, 16_384)


def line(topic, **case):
    return FORM.line(topic, case)


# Section 4.
def handle(place):
    return hkdf(b"", HALL_KEY, b"sottovoce 2 hall handle" + place, 16)


# H3 and H5.
def authenticator(secret, n, first, programme):
    info = b"sottovoce 2 hall authenticator" + GROUP_ID + u64(n) + u32(first) + programme
    return hkdf(b"", secret, info, 32)


def base_keys(suite, secret, n, auth, count):
    context = sha256(b"sottovoce 1 epoch" + u64(len(GROUP_ID)) + GROUP_ID + u64(n) + u64(len(auth)) + auth)
    size = 32 if suite == 4 else 64
    key = expand(suite, extract(suite, secret), b"sottovoce 1 base" + context + u16(suite), size)
    for _ in range(count):
        yield key
        key = expand(suite, extract(suite, key), b"SFrame 1.0 Ratchet", size)


def ratchet(key):
    return hkdf(b"", key, b"sottovoce 2 hall ratchet", 32)


# Section 5.
def seal(key, use, salt, content, size=None):
    size = size or next(size for size in SIZES if size >= len(content) + 50)
    text = u16(len(content)) + content
    text += bytes(size - 48 - len(text))
    return salt + gcm(hkdf(salt, key, b"sottovoce 2 hall " + USES[use], 32), bytes(12), text)


# Section 6.
def signed(seed, label, content, bound=b""):
    return content + sign(seed, b"sottovoce 2 hall " + label + GROUP_ID + bound + content)


def card(seed, leaf, name, voice, made):
    return signed(seed, b"card", u32(leaf) + public(seed) + v8(name) + voice + u64(made))


def lines():
    door, own = fill("hall door", 16), fill("hall own lane", 16)
    yield line("hall_key", lane=LANE_KEY.hex(), key=HALL_KEY)
    for lane, place in [
        ("doors", u8(0)),
        ("foyer", u8(1)),
        ("hall", u8(2)),
        ("cell", u8(3) + door + u32(7)),
        ("own", u8(4) + own),
        ("porter", u8(5) + door),
    ]:
        yield line("handle", lane=lane, porter=door, number=own, handle=handle(place))

    voice, made = public(fill("hall voice", 32)), 1_800_000_000_123
    cards = [card(HOST, 0, b"Ada", voice, made), card(BOB, 3, b"Bob", voice, made + 1)]
    context = sha256(b"sottovoce 2 hall voice" + GROUP_ID + u64(made))
    speaker = sha256(b"sottovoce 1 speaker" + context + u32(0) + voice)
    yield line("card", seed=HOST, group_id=GROUP_ID, leaf=0, made=made, voice=voice, card=cards[0], context=speaker)
    programme = u8(2) + b"".join(cards)
    hash_ = sha256(b"sottovoce 2 hall programme" + programme)
    yield line("programme", message=u8(4) + programme, hash=hash_)
    for why, message in [
        ("order", u8(4) + u8(2) + cards[1] + cards[0]),
        ("twice", u8(4) + u8(2) + cards[0] + cards[0]),
        ("too_many", u8(4) + u8(65) + cards[0] * 65),
        ("left_over", u8(4) + programme + b"\0"),
        ("cut", u8(4) + programme[:-1]),
    ]:
        yield line("refused", what="message", why=why, bytes=message)

    secret, n, first = fill("hall secret", 32), 3 * 256 + 1, 41
    auth = authenticator(secret, n, first, hash_)
    for suite in (4, 5):
        keys = list(base_keys(suite, secret, n, auth, 3))
        yield line(
            "epoch", suite=suite, secret=secret, group_id=GROUP_ID, n=n, first=first, programme=hash_,
            authenticator=auth, keys=keys,
        )
    code = digits(b"sottovoce 2 hall code", GROUP_ID + auth).replace(" ", "")
    yield line("code", group_id=GROUP_ID, authenticator=auth, code=code)
    chain = fill("hall chain", 32)
    yield line("chain", key=chain, keys=[ratchet(chain), ratchet(ratchet(chain))])

    turn = u64(n) + u32(first) + u16(1_000) + secret
    salt = fill("hall salt", 32)
    for use, content in [("lane", u8(1)), ("cell", turn), ("down", u8(5) + u8(3)), ("lane", u8(4) + programme)]:
        envelope = seal(chain, use, salt, content)
        yield line("envelope", use=use, key=chain, content=content, size=len(envelope), envelope=envelope)
    up = u32(9) + u8(1) + u8(1)
    yield line("bare", use="up", key=chain, content=up, envelope=seal(chain, "up", salt, up, 50 + len(up)))
    for why, text in [("padding", u16(1) + b"\1\0\1"), ("length", u16(207))]:
        key = hkdf(salt, chain, b"sottovoce 2 hall cell", 32)
        yield line("refused", what="envelope", why=why, bytes=salt + gcm(key, bytes(12), text + bytes(208 - len(text))))

    pairs = [fill(f"hall pair {slot}", 32) for slot in (0, 5)]
    fresh, step = fill("hall fresh", 32), 44
    slots = b""
    for slot, pair in zip((0, 5), pairs):
        key = hkdf(salt, pair, b"sottovoce 2 hall slot" + u32(step) + u8(slot), 32)
        slots += u8(slot) + gcm(key, bytes(12), fresh)
    inside = seal(fresh, "cell", salt, turn, 50 + len(turn))
    bundle = u8(8) + u32(step) + salt + u8(2) + slots + v16(inside)
    yield line("bundle", message=bundle, fresh=fresh, keys=pairs, turn=turn)
    yield line("refused", what="message", why="no_slots", bytes=u8(8) + u32(step) + salt + u8(0) + v16(b""))
    twice = u8(8) + u32(step) + salt + u8(2) + slots[:49] * 2 + v16(b"")
    yield line("refused", what="message", why="slot_twice", bytes=twice)

    answer = fill("hall answer key", 32)
    roster = sha256(b"sottovoce 2 hall roster" + fill("hall page", 32))
    beat = door + u64(5_000) + u64(445_000) + u64(n) + u32(first) + hash_ + auth[:16] + u16(1_000) + u32(40) + roster
    yield line("beat", message=u8(3) + signed(answer, b"beat", beat), key=public(answer), group_id=GROUP_ID)
    person = u8(3) + public(CAROL) + v8(b"Carol")
    page = u32(0) + u8(1) + person
    page_hash = sha256(b"sottovoce 2 hall page" + page)
    rosters = sha256(b"sottovoce 2 hall roster" + page_hash)
    yield line("page", message=u8(3) + page + u16(1) + page_hash, hash=page_hash, roster=rosters)

    ticket = signed(HOST, b"ticket", public(HOST) + fill("hall term", 16) + tag(CAROL) + u64(made))
    one_use_key = raw(derive_key_pair(fill("hall one-use", 32)).public_key())
    knock = public(CAROL) + v8(b"Carol") + u64(made) + fill("hall invite", 16) + u64(1_800_003_600) + u16(0)
    knock += v16(one_use_key) + own + u8(1) + ticket
    content = knock + sign(CAROL, b"sottovoce 2 hall knocks" + GROUP_ID + door + knock)
    porter_key = raw(derive_key_pair(fill("hall door key", 32)).public_key())
    aad = b"sottovoce 2 hall knock" + GROUP_ID + door
    enc, sealed = hpke_seal(porter_key, fill("hall coins", 32), b"sottovoce 2 hall knock", aad, content)
    yield line(
        "knock", message=u8(5) + door + v16(enc) + v16(sealed), ikm=fill("hall door key", 32), content=content,
        group_id=GROUP_ID, door=door,
    )
    epochs = u8(1) + u64(n) + u32(first) + hash_ + auth + u32(3) + v8(fill("hall base", 32)) + u16(0)
    admitted = u8(1) + v16(fill("hall terms", 100)) + ticket + u32(7) + u8(3) + u64(445_000) + u32(step)
    admitted += pairs[0] + chain + epochs
    aad = b"sottovoce 2 hall answer" + GROUP_ID + own + one_use_key
    enc, sealed = hpke_seal(one_use_key, fill("hall coins", 32), b"sottovoce 2 hall answer", aad, admitted)
    yield line(
        "answer", message=u8(6) + own + v16(enc) + v16(sealed), ikm=fill("hall one-use", 32), content=admitted,
        group_id=GROUP_ID,
    )
    for content in (u8(2) + u8(3), u8(3), u8(4) + u32(step) + fresh):
        yield line("answer_content", content=content)
    for what, content in [
        ("up", u32(9) + u8(2)),
        ("up", u32(10) + u8(3) + u64(n)),
        ("up", u32(11) + u8(4) + v16(one_use_key)),
        ("up", u32(12) + u8(5) + u32(4)),
        ("up", u32(13) + u8(6)),
        ("up", up),
        ("down", u8(1) + u32(step) + chain + epochs),
        ("down", u8(2) + own + v16(enc) + v16(sealed[:60])),
        ("down", u8(4) + v16(b"sottovoce:abc")),
        ("down", u8(5) + u8(3)),
        ("say", u8(1) + cards[0]),
        ("say", u8(2) + u64(445_000) + u64(n) + u32(40) + u8(1)),
        ("say", u8(3) + u64(n) + u32(first) + u64(410_000) + u16(300) + secret + programme + hash_ + u16(1) + auth),
        ("say", u8(4)),
    ]:
        yield line("content", what=what, bytes=content)


HEADER = """\
# Stage rooms: keys, envelopes and messages (spec/stage.md).
# Written by `python3 tests/vectors/stage.py --write`, checked by the same script and by
# `cargo test --features stage`.
"""

if __name__ == "__main__":
    main(__doc__, "stage.txt", HEADER, list(lines()))
