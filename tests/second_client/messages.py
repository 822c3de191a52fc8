"""The messages of the control lane and what is sealed in them (control.md 14.2 to 14.9).

A reader here checks the form alone; `holds` and `open_*` check what is signed and sealed. The
reasons are Malformed, Sealed and Signature. Nothing is believed before all three checks.
"""

import os

from apps import AGAIN, APP, Again, App
from law import read_list, write_list
from primitives import R, Bad, gcm_open, gcm_seal, hkdf, hpke_open, hpke_seal, sha256
from primitives import u8, u16, u32, u64, v16, v32, verify

HEARTBEAT, MLS, WELCOME, KNOCK, ANSWER, SHOW, CHAIN, CALL, SPENT = 1, 2, 3, 4, 5, 6, 7, 8, 16
RECEIPT, REFUSED, WAITING, SHOWN = 1, 2, 3, 4
LONGEST = 4109568
KEY_PACKAGE = 8192
KEY = 2048


class Record:
    """Named fields."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


def malformed(read):
    """Makes every refusal of a reader the reason Malformed."""

    def reader(*a):
        try:
            return read(*a)
        except Bad:
            raise Bad("Malformed")

    return reader


def whole(read):
    """A reader of bytes from which nothing may be left over."""

    def reader(b, *a):
        r = R(b)
        x = read(r, *a)
        r.end()
        return x

    return malformed(reader)


class Door:
    """A door with its badge, and what a newcomer remembers of it (14.4, room.md E2 to E4)."""

    def __init__(self, r, gid):
        i = r.i
        self.badge = r.take(136)
        self.hpke = r.v16(KEY)
        j = r.i
        self.sig = r.take(64)
        self.raw, self.content = r.b[i : r.i], r.b[i:j]
        self.answer, self.office = self.badge[:32], self.badge[32:64]
        self.no = int.from_bytes(self.badge[64:72], "big")
        self.gid = gid
        self.name = sha256(self.answer)[:16]
        self.refused = None
        self.knocked = self.seen = 0
        self.once = self.receipt = None

    def holds(self, host):
        """Whether the host signed the badge and its holder the door."""
        return badge_holds(self.gid, host, self.badge) and verify(
            self.answer, self.sig, b"sottovoce 2 door" + self.gid + self.content
        )


def badge_holds(gid, host, badge):
    return verify(host, badge[72:], b"sottovoce 2 badge" + gid + badge[:72])


def make_badge(gid, identity, answer, office, no):
    b = answer + office + u64(no)
    return b + identity.sign(b"sottovoce 2 badge" + gid + b)


def make_door(gid, answer, badge, hpke):
    b = badge + v16(hpke)
    return b + answer.sign(b"sottovoce 2 door" + gid + b)


@malformed
def read_message(b, gid):
    """A message of 14.2 as its kind and its fields."""
    r = R(b)
    kind = r.u8()
    if kind == HEARTBEAT:
        n = r.u8()
        if n > 3:
            raise Bad("Malformed")
        i = r.i - 1
        doors = [Door(r, gid) for _ in range(n)]
        m = Record(doors=doors, bound=sha256(r.b[i : r.i]), sealed=r.v16(2314))
    elif kind in (MLS, WELCOME):
        m = Record(content=r.v32(LONGEST))
    elif kind in (KNOCK, SHOW):
        most = 10288 if kind == KNOCK else LONGEST
        m = Record(door=r.take(16), ref=r.take(32), kem=r.v16(KEY), sealed=r.v32(most))
    elif kind == ANSWER:
        m = Record(ref=r.take(32), kem=r.v16(KEY), sealed=r.v32(LONGEST))
    elif kind == CHAIN:
        m = Record(tables=read_list(r))
        if not 1 <= len(m.tables) <= 8:
            raise Bad("Malformed")
    elif kind == CALL:
        m = Record()
    elif kind == SPENT:
        n = r.u8()
        if not 1 <= n <= 16:
            raise Bad("Malformed")
        m = Record(seeds=[r.take(32) for _ in range(n)])
    else:
        raise Bad("Malformed")
    r.end()
    m.kind = kind
    return m


# ------------------------------------------------------------------------------------- heartbeats
@whole
def read_beat(r):
    """A beat with its signature (14.5)."""
    b = Record(key=r.take(32), epoch=r.u64(), branch=r.take(32), step=r.u64(), ms=r.u64())
    b.elaw, b.klaw, b.door = r.take(32), r.take(32), r.v16(KEY)
    b.content = r.b[: r.i]
    b.sig = r.take(64)
    return b


def beat_holds(b, gid, bound):
    return verify(b.key, b.sig, b"sottovoce 2 heartbeat" + gid + b.content + bound)


def open_beat(sealed, salt):
    """The bytes of a sealed beat, under the salt of the terms."""
    if len(sealed) < 48:
        raise Bad("Sealed")
    key = hkdf(sealed[:32], salt, b"sottovoce 2 heartbeat", 32)
    try:
        return gcm_open(key, bytes(12), sealed[32:])
    except Bad:
        raise Bad("Sealed")


def make_heartbeat(gid, salt, identity, doors, fields, seal_salt=None):
    """A Heartbeat; `fields` are those of the beat behind its key."""
    pre = u8(len(doors)) + b"".join(doors)
    b = identity.pub + fields
    b += identity.sign(b"sottovoce 2 heartbeat" + gid + b + sha256(pre))
    s = seal_salt or os.urandom(32)
    sealed = s + gcm_seal(hkdf(s, salt, b"sottovoce 2 heartbeat", 32), bytes(12), b)
    return u8(HEARTBEAT) + pre + v16(sealed)


# ------------------------------------------------------------------------------- what HPKE seals
def sealed_to(key, info, aad, content, coins=None):
    return hpke_seal(key, info, aad, content, coins)


def opened(key, kem, info, aad, sealed):
    try:
        return hpke_open(key, kem, info, aad, sealed)
    except Bad:
        raise Bad("Sealed")


def knock_aad(gid, answer_key, ref):
    return b"sottovoce 2 knock" + gid + answer_key + ref


def make_knock(gid, door_name, answer_key, hpke, ref, content):
    kem, ct = sealed_to(hpke, b"sottovoce 2 knock", knock_aad(gid, answer_key, ref), content)
    return u8(KNOCK) + door_name + ref + v16(kem) + v32(ct)


def open_knock(key, m, gid, answer_key):
    return opened(key, m.kem, b"sottovoce 2 knock", knock_aad(gid, answer_key, m.ref), m.sealed)


@whole
def read_knock(r):
    """KnockContent (14.6)."""
    return Record(
        id=r.take(16), expiry=r.u64(), uses=r.u16(), once=r.v16(KEY), package=r.v32(KEY_PACKAGE)
    )


def write_knock(id, expiry, uses, once, package):
    return id + u64(expiry) + u16(uses) + v16(once) + v32(package)


def make_answer(gid, ref, once, content):
    kem, ct = sealed_to(once, b"sottovoce 2 answer", b"sottovoce 2 answer" + gid + ref, content)
    return u8(ANSWER) + ref + v16(kem) + v32(ct)


def open_answer(key, m, gid):
    aad = b"sottovoce 2 answer" + gid + m.ref
    return opened(key, m.kem, b"sottovoce 2 answer", aad, m.sealed)


@whole
def read_answer(r):
    """AnswerContent (14.7)."""
    kind = r.u8()
    if kind == RECEIPT:
        a = Record(key=r.take(32), ref=r.take(32), office=r.take(32), no=r.u64())
        a.statements = read_list(r)
    elif kind == REFUSED:
        a = Record(ref=r.take(32), reason=r.u8())
        if a.reason > 8:
            raise Bad("Malformed")
    elif kind == WAITING:
        a = Record(ref=r.take(32))
    elif kind == SHOWN:
        a = Record(statements=read_list(r))
    else:
        raise Bad("Malformed")
    a.kind, a.content = kind, r.b[1 : r.i]
    if kind != SHOWN:
        a.sig = r.take(64)
    return a


LABELS = {RECEIPT: b"sottovoce 2 receipt", REFUSED: b"sottovoce 2 refused"}
LABELS[WAITING] = b"sottovoce 2 waiting"


def answer_holds(a, gid, signer):
    return verify(signer, a.sig, LABELS[a.kind] + gid + a.content)


def signed_answer(gid, kind, signer, content):
    return u8(kind) + content + signer.sign(LABELS[kind] + gid + content)


def receipt_content(key, ref, office, no, statements):
    return key + ref + office + u64(no) + write_list(statements)


# ------------------------------------------------------------------------------- shows and leaves
def show_aad(gid, door, ref):
    return b"sottovoce 2 show" + gid + v16(door) + ref


def make_show(gid, identity, door, ref, content):
    """A Show of a content without its signature, to the door key of a beat."""
    sig = identity.sign(b"sottovoce 2 shown" + gid + content + v16(door) + ref)
    kem, ct = sealed_to(door, b"sottovoce 2 show", show_aad(gid, door, ref), content + sig)
    return u8(SHOW) + sha256(door)[:16] + ref + v16(kem) + v32(ct)


def open_show(key, m, gid):
    return opened(key, m.kem, b"sottovoce 2 show", show_aad(gid, key.pub, m.ref), m.sealed)


@whole
def read_show(r):
    """ShowContent (14.8); `package`, `broken` and `leave` are None without the wish."""
    s = Record(key=r.take(32), once=r.v16(KEY), ms=r.u64(), wish=r.u8())
    s.package = s.broken = s.leave = None
    if s.wish == 1:
        s.package = r.v32(KEY_PACKAGE)
        why = r.u8()
        if why > 1:
            raise Bad("Malformed")
        s.broken = (r.take(32), r.u64()) if why else None
    elif s.wish == 2:
        s.leave = r.take(104)
    elif s.wish:
        raise Bad("Malformed")
    s.statements = read_list(r)
    s.content = r.b[: r.i]
    s.sig = r.take(64)
    return s


def show_holds(s, gid, door, ref):
    return verify(s.key, s.sig, b"sottovoce 2 shown" + gid + s.content + v16(door) + ref)


def make_leave(gid, identity, ms):
    b = identity.pub + u64(ms)
    return b + identity.sign(b"sottovoce 2 leave" + gid + b)


def read_leave(b, gid):
    """The key and the time of a Leave whose signature holds."""
    if not verify(b[:32], b[40:], b"sottovoce 2 leave" + gid + b[:40]):
        raise Bad("Signature")
    return b[:32], int.from_bytes(b[32:40], "big")


# ---------------------------------------------------------------------------------------- sayings
SPEAKER_KEY, WORD, STATEMENTS, ASK, ADMIT, LEAVE, MISSING, ANSWER_KEY, BADGE, DOOR = range(1, 11)


@whole
def read_saying(r, gid):
    """A saying (14.9) as its kind and its fields."""
    kind = r.u8()
    if kind == SPEAKER_KEY:
        s = Record(pub=r.take(32), announced=r.u64(), holds=r.u32(), sig=r.take(64))
    elif kind == WORD:
        s = Record(heard=r.u64(), at=r.u64(), klaw=r.take(32))
    elif kind == STATEMENTS:
        s = Record(statements=read_list(r))
    elif kind == ASK:
        n = r.u16()
        if n > 256:
            raise Bad("Malformed")
        s = Record(ids=[r.take(32) for _ in range(n)])
    elif kind == ADMIT:
        s = Record(package=r.v32(KEY_PACKAGE))
    elif kind == LEAVE:
        s = Record(leave=r.take(104))
    elif kind == MISSING:
        n = r.u16()
        if n > 1000:
            raise Bad("Malformed")
        s = Record(leaves=[r.u32() for _ in range(n)])
    elif kind == ANSWER_KEY:
        s = Record(answer=r.take(32))
    elif kind == BADGE:
        s = Record(badge=r.take(136))
    elif kind == DOOR:
        s = Record(door=Door(r, gid))
    elif kind == APP:
        s = Record(app=App(r))
    elif kind == AGAIN:
        s = Record(again=Again(r))
    else:
        raise Bad("Malformed")
    s.kind = kind
    return s


def say_missing(leaves):
    return u8(MISSING) + u16(len(leaves)) + b"".join(u32(x) for x in leaves)


def announcement(gid, room, epoch, context, announced, holds):
    """What the leaf key signs in a SpeakerKey (reports.md 12.2)."""
    head = b"sottovoce 1 announcement" + u8(len(gid)) + gid + u8(len(room)) + room
    return head + u64(epoch) + context + u64(announced) + u32(holds)
