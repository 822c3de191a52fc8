"""Invites and their three forms of text (control.md 14.13)."""

import base64

from primitives import R, Bad, sha256, u8, u16, u64, v8

SCHEME = "sottovoce:"
BASE41 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$*-.:"


class Invite:
    """The fields of an invite."""

    def __init__(self, b):
        """Reads the bytes in front of the check. The first fault in the order of fields counts."""
        self.lane = b[1:33]
        r = R(b)
        version = r.u8()
        if version not in (2, 3):
            raise Bad("Version")
        try:
            self.lane, self.gid, self.host, self.office = (r.take(32) for _ in range(4))
            self.no, self.id, self.suite = r.u64(), r.take(16), r.u16()
        except Bad:
            raise Bad("Malformed")
        if self.suite not in (1, 0x4F):
            raise Bad("KeyExchange")
        try:
            self.sound = r.u8() if version == 3 else 0
        except Bad:
            raise Bad("Malformed")
        if version == 3 and self.sound not in (1, 2):
            raise Bad("Sound")
        try:
            self.expiry, self.uses, count = r.u64(), r.u16(), r.u8()
        except Bad:
            raise Bad("Malformed")
        if not 1 <= count <= 8:
            raise Bad("Relays")
        self.relays = []
        for _ in range(count):
            try:
                name = r.v8()
            except Bad:
                raise Bad("Malformed")
            if not name or any(not 0x21 <= c <= 0x7E for c in name[:128]):
                raise Bad("Relays")
            if len(name) > 128:
                raise Bad("Malformed")
            self.relays.append(name.decode())
        if r.left():
            raise Bad("Malformed")

    def bytes(self):
        b = u8(3 if self.sound else 2) + self.lane + self.gid + self.host + self.office + u64(self.no) + self.id
        b += u16(self.suite) + (u8(self.sound) if self.sound else b"") + u64(self.expiry) + u16(self.uses) + u8(len(self.relays))
        b += b"".join(v8(x.encode()) for x in self.relays)
        return b + check(b)

    def link(self):
        return SCHEME + base64.urlsafe_b64encode(self.bytes()).decode().rstrip("=")


def check(b):
    """The four bytes by which a typing mistake is noticed."""
    return sha256(b"sottovoce 2 invite checksum" + b)[:4]


def base41(b):
    """Base 41 of bytes, the lowest digit first."""
    out = ""
    for i in range(0, len(b), 2):
        x = int.from_bytes(b[i : i + 2], "big")
        for _ in range(3 if i + 1 < len(b) else 2):
            out += BASE41[x % 41]
            x //= 41
    return out


def unbase41(text):
    digits = [BASE41.find(c) for c in text]
    if -1 in digits or len(digits) % 3 == 1:
        raise Bad("Mistyped")
    b = b""
    for i in range(0, len(digits), 3):
        group = digits[i : i + 3]
        x = sum(d * 41**k for k, d in enumerate(group))
        if x > (65535 if len(group) == 3 else 255):
            raise Bad("Mistyped")
        b += u16(x) if len(group) == 3 else u8(x)
    return b


def unbase64(text):
    try:
        b = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Bad("Mistyped")
    if base64.urlsafe_b64encode(b).decode().rstrip("=") != text:
        raise Bad("Mistyped")
    return b


def decode(text):
    """The bytes behind the scheme, without their check."""
    b = unbase41(text[1:]) if text[:1] == "." else unbase64(text)
    if len(b) < 5 or check(b[:-4]) != b[-4:]:
        raise Bad("Mistyped")
    return b[:-4]


def read_invite(text):
    """Reads an invite in any of its forms."""
    text = text.strip()
    if len(text) > 2048:
        raise Bad("TooLong")
    if text[:8].lower() == "https://":
        text = text.partition("#")[2]
    if text[:10].lower() != SCHEME:
        for rest in (text[9:], text[10:], text[11:]):
            try:
                decode(rest)
            except Bad:
                continue
            raise Bad("Mistyped")
        raise Bad("Scheme")
    return Invite(decode(text[10:]))
