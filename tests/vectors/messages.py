"""Encodings of spec/control.md, sections 14.2 to 14.9: what `control.py` makes its cases of."""

from rfc9420 import KEMS
from room import BOB, GROUP_ID, HOST, MODERATOR, SALT, signed, standing, table, tag
from shared import Form, fill, gcm, hkdf, hpke_seal, public, sha256, sign, u16, u32, u64, u8, v16, v32, v8

# ---- 14.3 to 14.5: statement lists, doors, beats ---------------------------------------------------------------------


def statement_list(statements, count=None):
    return u16(len(statements) if count is None else count) + b"".join(v32(one) for one in statements)


def badge(answer_key, office, no, seed=HOST):
    return signed(b"badge", seed, answer_key + office + u64(no))


def door(badge, hpke_key, answer_seed):
    return signed(b"door", answer_seed, badge + v16(hpke_key))


def name_of_door(key):
    return sha256(key)[:16]


def beat(case):
    content = public(case["seed"]) + u64(case["epoch"]) + case["branch"] + u64(case["step_ms"]) + u64(case["time_ms"])
    content += case["epoch_law"] + case["known_law"] + v16(case["door_key"])
    bound = sha256(u8(len(case["doors"])) + b"".join(case["doors"]))
    return signed(b"heartbeat", case["seed"], content, bound)


def sealed_beat(salt, beat, of=SALT):
    return salt + gcm(hkdf(salt, of, b"sottovoce 2 heartbeat", 32), bytes(12), beat)


def heartbeat(doors, sealed):
    return u8(1) + u8(len(doors)) + b"".join(doors) + v16(sealed)


# ---- 14.5 to 14.8: what is sealed to one key -------------------------------------------------------------------------


class Pair:
    def __init__(self, label, suite=1):
        self.suite, self.input = suite, fill(label, 32)
        self.private = KEMS[suite].pair(self.input)
        self.public = KEMS[suite].public(self.private)

    def seal(self, purpose, aad, plaintext):
        label = b"sottovoce 2 " + purpose
        return hpke_seal(
            self.public,
            fill(f"coins {purpose.decode()} {self.suite}", 64 if self.suite == 0x4F else 32),
            label,
            label + aad,
            plaintext,
            KEMS[self.suite],
        )


def knock_content(invite, expiry, uses, one_use, package):
    return invite + u64(expiry) + u16(uses) + v16(one_use) + v32(package)


def knock(pair, answer_key, reference, content, group_id=GROUP_ID):
    kem, sealed = pair.seal(b"knock", group_id + answer_key + reference, content)
    return u8(4) + name_of_door(answer_key) + reference + v16(kem) + v32(sealed)


def receipt(seed, reference, office, no, statements):
    return u8(1) + signed(b"receipt", seed, public(seed) + reference + office + u64(no) + statement_list(statements))


def refused(answer_seed, reference, reason):
    return u8(2) + signed(b"refused", answer_seed, reference + u8(reason))


def waiting(answer_seed, reference):
    return u8(3) + signed(b"waiting", answer_seed, reference)


def shown(statements):
    return u8(4) + statement_list(statements)


def answer(pair, reference, content, group_id=GROUP_ID):
    kem, sealed = pair.seal(b"answer", group_id + reference, content)
    return u8(5) + reference + v16(kem) + v32(sealed)


def leave(seed, time_ms):
    return signed(b"leave", seed, public(seed) + u64(time_ms))


def show_content(seed, one_use, time_ms, wish, statements, door_key, reference):
    content = public(seed) + v16(one_use) + u64(time_ms) + wish + statement_list(statements)
    return signed(b"shown", seed, content, v16(door_key) + reference)


def show(pair, reference, content, group_id=GROUP_ID):
    kem, sealed = pair.seal(b"show", group_id + v16(pair.public) + reference, content)
    return u8(6) + name_of_door(pair.public) + reference + v16(kem) + v32(sealed)


# ---- 14.9 ------------------------------------------------------------------------------------------------------------


def speaker_key(leaf_seed, room_name, epoch, speaker_context, key, announced, holds):
    """SPEC section 12.2."""
    signed = (
        b"sottovoce 1 announcement"
        + v8(GROUP_ID)
        + v8(room_name)
        + u64(epoch)
        + speaker_context
        + u64(announced)
        + u32(holds)
    )
    return u8(1) + key + u64(announced) + u32(holds) + sign(leaf_seed, signed)


# ---- what the cases are made of ----------------------------------------------------------------------------------------

FORM = Form(
    numbers="no epoch step_ms time_ms expiry uses reason announced holds heard_ms at_ms numbers suite kind".split()
    + "number sender leaves audience".split(),
    texts=["what", "why", "error"],
    lists=["doors", "tables", "seeds", "statements", "ids", "numbers", "leaves", "inputs"],
)


def line(topic, **case):
    return FORM.line(topic, case)


T = 1_790_000_005_000


OFFICE = table(HOST, GROUP_ID, T, public(MODERATOR))["id"]
STANDINGS = [standing(HOST, GROUP_ID[:16], tag(BOB), word, n)[0] for word, n in ((0x81, 1), (0, 7))]
TABLE = table(HOST, GROUP_ID, T, public(HOST), entries=[tag(BOB) + u8(3) + u32(9) + u8(0) + u32(1)])
ANSWER_SEEDS = [fill(f"answer key {n}", 32) for n in range(3)]


def door_of(n, suite=1, office=GROUP_ID, no=0):
    return door(badge(public(ANSWER_SEEDS[n]), office, no), Pair(f"door {n}", suite).public, ANSWER_SEEDS[n])


def beat_case(doors, door_key, seed=HOST, time_ms=T):
    return dict(
        seed=seed,
        epoch=3,
        branch=sha256(b"sottovoce 2 branch" + fill("authenticator", 32)),
        step_ms=12_345,
        time_ms=time_ms,
        epoch_law=sha256(b"sottovoce 2 law"),
        known_law=fill("known law", 32),
        door_key=door_key,
        doors=doors,
    )


# ---- spec/messages.md, section 2: app messages -----------------------------------------------------------------------


def note(kind, body):
    return u16(kind) + v16(body)


def app(run, number, note):
    return u8(11) + run + u64(number) + u8(0) + note


def seal_key(pair, group_id, branch, sender, leaf, run, number, content_key):
    aad = group_id + branch + u32(sender) + u32(leaf) + run + u64(number)
    kem, sealed = pair.seal(b"app message", aad, content_key)
    return v16(kem) + sealed


def to_some(content_key, audience, note):
    return gcm(content_key, bytes(12), u8(audience) + note)


def app_sealed(run, number, keys, sealed):
    return u8(11) + run + u64(number) + u8(1) + u8(len(keys)) + b"".join(keys) + v16(sealed)


def again(branch, salt, epoch_secret, run, number, note):
    key = hkdf(salt, hkdf(b"", epoch_secret, b"sottovoce 2 again key", 32), b"sottovoce 2 again", 32)
    return u8(12) + branch + salt + v16(gcm(key, bytes(12), run + u64(number) + note))
