#!/usr/bin/env python3
"""Reports, written and verified a second time, from SPEC.md sections 5 and 12 alone.

    python3 tests/vectors/report.py           verifies report_sample.txt, which the library made,
                                              and report.txt
    python3 tests/vectors/report.py --write   writes report.txt anew: honest reports and the tricks
                                              of liars

Both files say what a report proves, or the name of the first check that it fails; `cargo test`
holds the library to the same. Needs Python 3.9 and the package `cryptography`.
"""

import hashlib
import sys

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from derive import epoch_context, frame_message, opus_duration, opus_pad, opus_parse, speaker_context
from shared import HERE, Form, be, derive_key_pair, fill, fingerprint, hpke_open, hpke_seal, key, raw, v8

SEALED, LABEL, INFO = b"sottovoce 1 sealed report", b"sottovoce 1 report", b"sottovoce 1 report"
TOLERANCE, MAX_FRAMES, MAX_PARTS = 300, 33_001, 255
MAX_REPORT = 18 + 256 + 65 + 2 + 1 + MAX_PARTS * 352 + MAX_FRAMES * 1_026
MAX_FILE = 25 + 48 + MAX_REPORT

P25519 = 2**255 - 19
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
SMALL = {n.to_bytes(32, "little") for n in (0, 1, P25519 - 1, P25519, P25519 + 1)}
SMALL |= {ORDER_8, (P25519 - int.from_bytes(ORDER_8, "little")).to_bytes(32, "little")}


class Rejected(Exception):
    pass


def weak(public):
    return public[:31] + bytes([public[31] & 0x7F]) in SMALL


def holds(public, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


# ---- reading (SPEC section 12.3) -------------------------------------------------------------------------------------


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise Rejected("Malformed")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def sized(self, size, most):
        length = self.number(size)
        if length > most:
            raise Rejected("Malformed")
        return self.take(length)


def name_of(data):
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected("Malformed")
    control = lambda c: ord(c) < 32 or 127 <= ord(c) < 160 or 0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069
    if not 1 <= len(data) <= 64 or any(map(control, text)):
        raise Rejected("Malformed")
    return data


def parse(plain):
    reader = Reader(plain)
    if reader.take(len(LABEL)) != LABEL:
        raise Rejected("Malformed")
    report = dict(group_id=reader.sized(1, 255), room=name_of(reader.sized(1, 64)), size=reader.number(2), parts=[])
    if not report["group_id"] or not 16 <= report["size"] <= 1000:
        raise Rejected("Malformed")
    count = reader.number(1)
    for _ in range(count):
        part = dict(epoch=reader.number(8), epoch_context=reader.take(32), leaf=reader.number(4), leaf_key=reader.take(32))
        part |= dict(credential=reader.sized(2, 170), public=reader.take(32), announced=reader.number(8), holds=reader.number(4))
        part |= dict(signature=reader.take(64), frames=[])
        for _ in range(reader.number(4)):
            frame = dict(step=reader.number(4), kid=reader.number(4), ctr=reader.number(2), salt=reader.take(16))
            frame["packet"] = reader.take(report["size"])
            if part["frames"] and number_of(part["frames"][-1]) >= number_of(frame):
                raise Rejected("Malformed")
            part["frames"].append(frame)
        order = part["epoch"], part["epoch_context"]
        if not part["frames"] or report["parts"] and order_of(report["parts"][-1]) >= order:
            raise Rejected("Malformed")
        report["parts"].append(part)
    if sum(len(part["frames"]) for part in report["parts"]) > MAX_FRAMES:
        raise Rejected("Malformed")
    if not report["parts"] or reader.at != len(plain):
        raise Rejected("Malformed")
    return report


def order_of(part):
    return part["epoch"], part["epoch_context"]


def number_of(frame):
    return frame["step"], frame["ctr"]


# ---- checking (SPEC section 12.4) ------------------------------------------------------------------------------------


def announcement(report, part):
    context = speaker_context(part["epoch_context"], part["leaf"], part["public"])
    place = v8(report["group_id"]) + v8(report["room"]) + be(part["epoch"], 8) + context
    return b"sottovoce 1 announcement" + place + be(part["announced"], 8) + be(part["holds"], 4)


def credential_of(report, part):
    """(identity key, name) of a credential that is believed."""
    try:
        reader = Reader(part["credential"])
        version, public, name = reader.number(1), reader.take(32), name_of(reader.sized(1, 64))
        made, signature = reader.take(8), reader.take(64)
    except Rejected:
        raise Rejected("Credential")
    signed = b"sottovoce 2 leaf" + report["group_id"] + part["leaf_key"] + v8(name) + made
    sound = len(report["group_id"]) == 32 and version == 2 and reader.at == len(part["credential"]) and public != part["leaf_key"] and not weak(public)
    if not sound or not holds(public, signed, signature):
        raise Rejected("Credential")
    return public, name


def content_message(part, frame):
    content = hashlib.sha256(frame["salt"] + frame["packet"][:-64]).digest()
    context = speaker_context(part["epoch_context"], part["leaf"], part["public"])
    return frame_message(context, frame["step"], frame["kid"], frame["ctr"], content)


def check_frames(part):
    last = None
    for frame in part["frames"]:
        if last and last["step"] == frame["step"] and last["kid"] != frame["kid"] or frame["ctr"] < 256:
            raise Rejected("Numbers")
        tail = frame["packet"][-73:]
        if len(tail) < 73 or tail[0] != 0xC2 or tail[8] & 0x78:
            raise Rejected("Forged")
        if not holds(part["public"], content_message(part, frame), tail[9:]):
            raise Rejected("Forged")
        try:
            frames, _, _, padding = opus_parse(frame["packet"])
        except ValueError:
            raise Rejected("NotOpus")
        if len(padding) < 73:
            raise Rejected("Forged")
        frame["frames"] = len(frames)
        frame["captured"] = int.from_bytes(tail[1:7], "big")
        frame["micros"] = opus_duration(frame["packet"][0]) * frame["frames"]
        last = frame


def gaps_of(frames):
    """Each as after:packets:missing:clock:key changed, in milliseconds (SPEC section 12.5)."""
    gaps, audio = [], 0
    for (part, last), (next_part, frame) in zip(frames, frames[1:]):
        audio += last["micros"]
        changed = (part, last["step"]) != (next_part, frame["step"])
        packets = frame["ctr"] - (256 if changed else last["ctr"] + 1)
        missing = last["micros"] * packets
        clock = frame["captured"] - last["captured"] - (last["micros"] + missing) // 1000
        if packets or abs(clock) >= (last["micros"] // 1000 if changed else 1001):
            gaps.append(f"{audio // 1000}:{packets}:{missing // 1000}:{clock}:{int(changed)}")
    return ",".join(gaps)


def findings(case):
    """What the report of a case proves."""
    file, private = case["file"], derive_key_pair(case["seed"])
    if len(file) > MAX_FILE:
        raise Rejected("TooLarge")
    if not file.startswith(SEALED):
        raise Rejected("NotAReport")
    sealed = file[len(SEALED) :]
    try:
        plain = hpke_open(private, sealed[:32], INFO, b"", sealed[32:])
    except (InvalidTag, ValueError):
        raise Rejected("Sealed")
    report = parse(plain)
    who = None
    for part in report["parts"]:
        public, name = credential_of(report, part)
        sound = not weak(part["leaf_key"]) and not weak(part["public"])
        if not sound or not holds(part["leaf_key"], announcement(report, part), part["signature"]):
            raise Rejected("Announcement")
        if who and who[0] != public:
            raise Rejected("Speakers")
        who = public, name
    for part in report["parts"]:
        check_frames(part)
    received, until = case["received"], []
    for part in report["parts"]:
        if part["announced"] > received + 2 * TOLERANCE:
            raise Rejected("Early")
        if part["holds"]:
            until.append(part["announced"] + part["holds"] - TOLERANCE)
            if received > until[-1]:
                raise Rejected("Expired")
    out = {raw(key(seed).public_key()) for seed in case.get("published", ())}
    if any(part["public"] in out for part in report["parts"]):
        raise Rejected("Published")
    frames = [(order_of(part), frame) for part in report["parts"] for frame in part["frames"]]
    return dict(
        verdict="Proved",
        member=fingerprint(who[0]),
        name=who[1],
        room_id=report["group_id"],
        room=report["room"],
        packets=len(frames),
        duration=sum(frame["micros"] for _, frame in frames) // 1000,
        captured=frames[0][1]["captured"],
        until=min(until, default=0),
        gaps=gaps_of(frames),
    )


def outcome(case):
    try:
        return findings(case)
    except Rejected as why:
        return dict(verdict=str(why))


# ---- making (SPEC section 12.3), honestly and not --------------------------------------------------------------------

MADE = be(1_789_999_000_000, 8)
ROOM, SIZE, NOW, MODERATION = b"tea", 120, 1_790_000_000, fill("moderation", 32)


def speaker_seed(who, epoch):
    return fill(f"speaker {who} {epoch}", 32)


def sign_frame(part, frame, seed):
    frame["packet"] = frame["packet"][:-64] + key(seed).sign(content_message(part, frame))


def announce(report, part, seed):
    part["signature"] = key(seed).sign(announcement(report, part))


def part_of(report, who, epoch, frames):
    leaf_seed = fill(f"leaf {who}", 32)
    context = epoch_context(report["group_id"], epoch, fill(f"authenticator {epoch}", 32))
    part = dict(epoch=epoch, epoch_context=context, leaf=ord(who) - 97, leaf_key=raw(key(leaf_seed).public_key()))
    identity = key(fill(f"identity {who}", 32))
    name = v8(who.encode() * 3)
    signed = b"sottovoce 2 leaf" + report["group_id"] + part["leaf_key"] + name + MADE
    part["credential"] = b"\2" + raw(identity.public_key()) + name + MADE + identity.sign(signed)
    part |= dict(public=raw(key(speaker_seed(who, epoch)).public_key()), announced=NOW, holds=1800, frames=[])
    announce(report, part, leaf_seed)
    for step, ctr, captured in frames:
        body = opus_pad(bytes([0x78]) + fill(f"audio {who} {epoch} {step} {ctr}", 30), SIZE, 1)
        packet = body[:-73] + b"\xc2" + be(captured, 6) + b"\x55\0" + bytes(64)
        kid = 0x80000000 | int.from_bytes(fill(f"kid {who} {epoch} {step}", 3), "big") << 2 | step % 4
        frame = dict(step=step, kid=kid, ctr=ctr, salt=fill(f"salt {who} {epoch} {step} {ctr}", 16), packet=packet)
        sign_frame(part, frame, speaker_seed(who, epoch))
        part["frames"].append(frame)
    return part


def honest(who="a"):
    """Two epochs, two steps in the first, a loss in each."""
    report = dict(group_id=fill("group", 32), room=ROOM, size=SIZE, parts=[])
    at = lambda n: NOW * 1000 + 20 * n
    first = [(0, 0x100 + n, at(n)) for n in range(8) if n not in (3, 4)] + [(1, 0x102, at(11)), (1, 0x103, at(12))]
    report["parts"] = [part_of(report, who, 4, first), part_of(report, who, 5, [(0, 0x100, at(60)), (0, 0x101, at(61))])]
    return report


def branches(report):
    """The second part moves to another branch of the room, in which its epoch has the number of the
    first."""
    part = report["parts"][1]
    part |= dict(epoch=4, epoch_context=fill("branch", 32))
    announce(report, part, fill("leaf a", 32))
    for frame in part["frames"]:
        sign_frame(part, frame, speaker_seed("a", 5))
    report["parts"].sort(key=order_of)


def encode(report):
    out = LABEL + v8(report["group_id"]) + v8(report["room"]) + be(report["size"], 2) + be(len(report["parts"]), 1)
    for part in report["parts"]:
        out += be(part["epoch"], 8) + part["epoch_context"] + be(part["leaf"], 4) + part["leaf_key"]
        out += be(len(part["credential"]), 2) + part["credential"] + part["public"] + be(part["announced"], 8)
        out += be(part["holds"], 4) + part["signature"] + be(len(part["frames"]), 4)
        for frame in part["frames"]:
            out += be(frame["step"], 4) + be(frame["kid"], 4) + be(frame["ctr"], 2) + frame["salt"] + frame["packet"]
    return out


def seal(plain):
    enc, ciphertext = hpke_seal(raw(derive_key_pair(MODERATION).public_key()), fill("ephemeral", 32), INFO, b"", plain)
    return SEALED + enc + ciphertext


def neutral_leaf(report):
    part = report["parts"][0]
    part["leaf_key"] = b"\1" + bytes(31)
    identity = key(fill("identity a", 32))
    signed = b"sottovoce 2 leaf" + report["group_id"] + part["leaf_key"] + v8(b"aaa") + MADE
    part["credential"] = part["credential"][:-64] + identity.sign(signed)
    part["signature"] = b"\1" + bytes(63)


def edited(change):
    """What somebody makes of an honest report."""
    report = honest()
    change(report, report["parts"][0], report["parts"][0]["frames"])
    return seal(encode(report))


def resigned(change, seed=None):
    """A frame changed and signed again, by its speaker unless another seed is given."""

    def forge(report, part, frames):
        change(frames[1])
        sign_frame(part, frames[1], seed or speaker_seed("a", 4))

    return edited(forge)


def forever(report, part, frames):
    for part in report["parts"]:
        part["holds"] = 0
        announce(report, part, fill("leaf a", 32))


def set_packet(frame, at, value):
    frame["packet"] = frame["packet"][:at] + value + frame["packet"][at + len(value) :]


def swap_audio(report, part, frames):
    for name in ("packet", "salt"):
        frames[0][name], frames[1][name] = frames[1][name], frames[0][name]


def inputs():
    """Files, and when they arrive."""
    file = seal(encode(honest()))
    for received in (NOW - 601, NOW - 600, NOW - 301, NOW, NOW + 1500, NOW + 1501):
        yield dict(file=file, received=received)
    yield dict(file=edited(forever), received=2**40)
    yield dict(file=file, received=NOW, published=[fill("any", 32), speaker_seed("a", 5)])
    yield dict(file=file, received=NOW, published=[speaker_seed("a", 6)])
    other = part_of(honest(), "b", 5, [(0, 0x100, NOW * 1000)])
    elsewhere = part_of(honest() | dict(group_id=fill("other group", 32)), "a", 6, [(0, 0x100, NOW * 1000)])
    for edit in (
        lambda report, part, frames: frames.pop(1),
        lambda report, part, frames: report.update(room=b"war council"),
        lambda report, part, frames: part.update(epoch=3),
        lambda report, part, frames: part.update(leaf=1),
        lambda report, part, frames: part.update(announced=NOW + 1),
        lambda report, part, frames: part.update(holds=0),
        lambda report, part, frames: part.update(public=bytes(32)),
        lambda report, part, frames: part.update(credential=other["credential"]),
        lambda report, part, frames: part.update(credential=part["credential"] + b"\0"),
        lambda report, part, frames: report["parts"].__setitem__(1, other),
        lambda report, part, frames: report["parts"].append(elsewhere),
        lambda report, part, frames: report["parts"].reverse(),
        lambda report, part, frames: report["parts"].clear(),
        lambda report, part, frames: frames.reverse(),
        lambda report, part, frames: frames.clear(),
        lambda report, part, frames: frames.insert(0, frames[0]),
        lambda report, part, frames: frames[1].update(step=2),
        lambda report, part, frames: frames[1].update(salt=bytes(16)),
        lambda report, part, frames: frames[1].update(ctr=0x101 + 1) or frames.pop(2),
        lambda report, part, frames: set_packet(frames[1], 9, b"edit"),
        lambda report, part, frames: set_packet(frames[1], SIZE - 70, b"\0"),
        lambda report, part, frames: neutral_leaf(report),
        swap_audio,
    ):
        yield dict(file=edited(edit), received=NOW)
    yield dict(file=resigned(lambda frame: set_packet(frame, 9, b"own words")), received=NOW)
    yield dict(file=resigned(lambda frame: set_packet(frame, 9, b"not own"), speaker_seed("b", 4)), received=NOW)
    yield dict(file=resigned(lambda frame: set_packet(frame, 1, b"\0")), received=NOW)
    yield dict(file=resigned(lambda frame: set_packet(frame, SIZE - 73, b"\xc3")), received=NOW)
    yield dict(file=resigned(lambda frame: set_packet(frame, SIZE - 65, b"\x08")), received=NOW)
    yield dict(file=resigned(lambda frame: set_packet(frame, SIZE - 65, b"\x87")), received=NOW)
    yield dict(file=resigned(lambda frame: frame.update(kid=frame["kid"] ^ 4)), received=NOW)
    # The tail lies in a frame: the padding bit is 0, or the padding is one byte too short.
    yield dict(file=resigned(lambda frame: set_packet(frame, 1, b"\1")), received=NOW)
    yield dict(file=resigned(lambda frame: set_packet(frame, 2, b"\x48")), received=NOW)
    # Two branches of a room with one epoch number: in order, and not.
    yield dict(file=edited(lambda report, part, frames: branches(report)), received=NOW)
    yield dict(file=edited(lambda report, part, frames: branches(report) or report["parts"].reverse()), received=NOW)
    plain = encode(honest())
    for altered in (plain[:-1], plain + b"\0", b"", b"\0" + plain[1:]):
        yield dict(file=seal(altered), received=NOW)
    for altered in (file[:-1], file[:60], file[:30], b"", file[:40] + b"\0" + file[41:], b"S" + file[1:]):
        yield dict(file=altered, received=NOW)


# ---- the files -------------------------------------------------------------------------------------------------------

FORM = Form(
    numbers=["received", "packets", "duration", "captured", "until"],
    texts=["verdict", "gaps"],
    lists=["published"],
)

HEADER = """\
# Reports and what they prove (SPEC section 12): some honest, most not. The verdict is Proved, or
# the first check that fails. Written by `python3 tests/vectors/report.py --write`, checked by the
# same script and by `cargo test`. Numbers decimal, times in seconds or milliseconds, bytes hex. A
# gap is after:packets:missing:clock:key changed.
"""


def check(name, count):
    verdicts = {}
    for topic, case in FORM.cases(HERE / name):
        found = outcome(case)
        for field, value in found.items():
            if case[field] != value:
                sys.exit(f"{name}: {topic}: {field} is {FORM.text_of(field, case[field])}, found {FORM.text_of(field, value)}")
        verdicts[found["verdict"]] = verdicts.get(found["verdict"], 0) + 1
    if sum(verdicts.values()) != count:
        sys.exit(f"{name}: {sum(verdicts.values())} cases, not {count}")
    print(f"{name}: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))


def main():
    if sys.argv[1:] == ["--write"]:
        cases = [dict(seed=MODERATION) | case for case in inputs()]
        lines = [FORM.line("report", case | outcome(case)) for case in cases]
        (HERE / "report.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="ascii")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    check("report_sample.txt", 1)
    check("report.txt", 53)


if __name__ == "__main__":
    main()
