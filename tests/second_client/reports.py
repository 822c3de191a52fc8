"""A verifier of reports (spec/reports.md 12.3 and 12.4)."""

from credential import Cred
from media import parse_opus, speaker_context
from messages import announcement
from primitives import (
    Bad,
    KemKey,
    R,
    SigKey,
    hpke_open,
    name_ok,
    point_ok,
    sha256,
    u32,
    u64,
    verify,
)

LONGEST = 33951241
LABEL = b"sottovoce 1 sealed report"


def read(plaintext):
    """Group id, room name and parts of an opened report, or Malformed."""
    r = R(plaintext)
    if r.take(18) != b"sottovoce 1 report":
        raise Bad("Malformed")
    gid, name = r.v8(), r.v8(64)
    size, count = r.u16(), r.u8()
    if not gid or not name_ok(name) or not 16 <= size <= 1000 or not count:
        raise Bad("Malformed")
    parts, total = [], 0
    for _ in range(count):
        p = dict(epoch=r.u64(), ctx=r.take(32), leaf=r.u32(), leaf_key=r.take(32))
        p.update(cred=r.v16(170), pub=r.take(32), announced=r.u64(), holds=r.u32(), sig=r.take(64))
        n = r.u32()
        total += n
        if not n or total > 33001:
            raise Bad("Malformed")
        p["frames"] = [(r.u32(), r.u32(), r.u16(), r.take(16), r.take(size)) for _ in range(n)]
        order = [(step, ctr) for step, _, ctr, _, _ in p["frames"]]
        if any(a >= b for a, b in zip(order, order[1:])):
            raise Bad("Malformed")
        parts.append(p)
    order = [(p["epoch"], p["ctx"]) for p in parts]
    if any(a >= b for a, b in zip(order, order[1:])):
        raise Bad("Malformed")
    r.end()
    return gid, name, parts


def check_speakers(gid, name, parts):
    """Check 5."""
    key = None
    for p in parts:
        try:
            cred = Cred(p["cred"])
        except Bad:
            raise Bad("Credential")
        if not cred.believed(gid, p["leaf_key"]):
            raise Bad("Credential")
        p["context"] = speaker_context(p["ctx"], p["leaf"], p["pub"])
        signed = announcement(gid, name, p["epoch"], p["context"], p["announced"], p["holds"])
        keys = (cred.key, p["leaf_key"], p["pub"])
        if not all(map(point_ok, keys)) or not verify(p["leaf_key"], p["sig"], signed):
            raise Bad("Announcement")
        if key not in (None, cred.key):
            raise Bad("Speakers")
        key = cred.key


def check_frames(p):
    """Check 6."""
    before = None
    for step, kid, ctr, salt, packet in p["frames"]:
        if (before and before[0] == step and before[1] != kid) or ctr < 256:
            raise Bad("Numbers")
        before = (step, kid)
        if len(packet) < 73 or packet[-73] != 0xC2 or packet[-65] & 0x78:
            raise Bad("Forged")
        content = sha256(salt + packet[:-64])
        head = b"sottovoce 1 frame" + p["context"] + u32(step) + u64(kid) + u64(ctr)
        if not verify(p["pub"], packet[-64:], head + content):
            raise Bad("Forged")
        try:
            padding = parse_opus(packet)[2]
        except Bad:
            raise Bad("NotOpus")
        if padding < 73:
            raise Bad("Forged")


def verdict(file, seed, received, published=()):
    """What a verifier answers who has the input of the moderation key: a reason, or Proved."""
    if len(file) > LONGEST:
        return "TooLarge"
    if not file.startswith(LABEL):
        return "NotAReport"
    sealed = file[len(LABEL) :]
    try:
        text = hpke_open(KemKey.derive(seed), sealed[:32], b"sottovoce 1 report", b"", sealed[32:])
    except Bad:
        return "Sealed"
    try:
        gid, name, parts = read(text)
    except Bad:
        return "Malformed"
    try:
        check_speakers(gid, name, parts)
        for p in parts:
            check_frames(p)
    except Bad as why:
        return str(why)
    for p in parts:
        if p["announced"] > received + 600:
            return "Early"
        if p["holds"] and received > p["announced"] + p["holds"] - 300:
            return "Expired"
    if {p["pub"] for p in parts} & {SigKey(x).pub for x in published}:
        return "Published"
    return "Proved"
