#!/usr/bin/env python3
"""Invites a second time, from spec/control.md section 14.13 alone.

    python3 tests/vectors/invite.py             derives every value of invite.txt again
    python3 tests/vectors/invite.py --write     writes invite.txt anew, for a change of section
                                                14.13

Needs Python 3.9 and the package `cryptography`.
"""

import base64

from shared import Form, fill, main, public, sha256, u16, u64, u8, v8

FORM = Form(
    numbers=["office_no", "cipher_suite", "sound", "expiry", "uses"],
    texts=["relays", "link", "qr", "page", "why", "error"],
    lists=["relays"],
)
BASE41 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$*-.:"


def content(case):
    out = u8(3 if case["sound"] else 2) + case["lane_key"] + case["group_id"] + case["host"] + case["office"] + u64(case["office_no"])
    out += case["invite"] + u16(case["cipher_suite"]) + (u8(case["sound"]) if case["sound"] else b"")
    out += u64(case["expiry"]) + u16(case["uses"]) + u8(len(case["relays"]))
    return out + b"".join(v8(relay.encode()) for relay in case["relays"])


def checked(content):
    return content + sha256(b"sottovoce 2 invite checksum" + content)[:4]


def base41(data):
    out = ""
    for at in range(0, len(data), 2):
        pair = data[at : at + 2]
        number = int.from_bytes(pair, "big")
        for _ in range(len(pair) + 1):
            out, number = out + BASE41[number % 41], number // 41
        assert not number
    return out


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def link(data):
    return "sottovoce:" + base64url(data)


def qr(data):
    return "SOTTOVOCE:." + base41(data)


def base():
    return dict(
        lane_key=fill("lane key", 32),
        group_id=fill("group", 32),
        host=public(fill("host", 32)),
        office=fill("group", 32),
        office_no=0,
        invite=fill("invite", 16),
        cipher_suite=1,
        sound=0,
        expiry=1_800_000_000,
        uses=1,
        relays=["relay.example:443"],
    )


def lines():
    one = base()
    full = one | dict(office=fill("office", 32), office_no=2**64 - 1, cipher_suite=79, expiry=2**64 - 1, uses=0)
    full |= dict(
        relays=[
            "!",
            "~" * 128,
            "quic:[2001:db8::1]:443#" + "A" * 43,
            "rtp:r:1",
            "moq:r:2",
            "janus:r:3/path",
            "e:5",
            "f:6",
        ]
    )
    for case in (one, full, one | dict(sound=1), full | dict(sound=2)):
        data = checked(content(case))
        forms = dict(bytes=data, link=link(data), qr=qr(data), page="https://talk.example/join#" + link(data))
        yield FORM.line("invite", case | forms)
    # A relay list with an even number of bytes before, so that base 41 ends in a single byte once
    # and in a pair once.
    data = checked(content(one | dict(relays=["relay.example:4430"])))
    yield FORM.line(
        "invite",
        one
        | dict(
            relays=["relay.example:4430"], bytes=data, link=link(data), qr=qr(data), page="HTTPS://x/#" + link(data)
        ),
    )

    data = checked(content(one))
    other = lambda **values: link(checked(content(one | values)))
    flip = lambda text, at: text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    short = checked(content(one)[:100])
    unused = base64url(data + b"\0" * (-(len(data) - 1) % 3))
    assert len(unused) % 4 == 2
    silent = content(one | dict(sound=1))
    silent = silent[:155] + b"\0" + silent[156:]
    for why, error, text in [
        ("2049 characters", "TooLong", link(data) + "A" * (2049 - len(link(data)))),
        ("no scheme", "Scheme", base64url(data)),
        ("another scheme", "Scheme", "mailto:somebody@example.org"),
        ("a page without a link", "Scheme", "https://talk.example/join"),
        ("a misspelt scheme", "Mistyped", "sottovoec:" + base64url(data)),
        ("a scheme without its last letter", "Mistyped", "sottovoc:" + base64url(data)),
        ("a scheme with a letter more", "Mistyped", "sottovocce:" + base64url(data)),
        ("another letter", "Mistyped", flip(link(data), 40)),
        ("a letter lost", "Mistyped", link(data)[:-1]),
        ("a letter more", "Mistyped", link(data) + "A"),
        ("padding", "Mistyped", link(data) + "="),
        ("a character outside", "Mistyped", link(data)[:30] + "+" + link(data)[31:]),
        ("unused bits", "Mistyped", "sottovoce:" + unused[:-1] + chr(ord(unused[-1]) + 1)),
        ("base 41 with another letter", "Mistyped", flip(qr(data), 40)),
        ("base 41 in lower case", "Mistyped", "SOTTOVOCE:." + base41(data).lower()),
        ("base 41 above 65535", "Mistyped", "SOTTOVOCE:.:::" + base41(data)[3:]),
        ("base 41 with a single digit at the end", "Mistyped", qr(data + b"\0" * (len(data) % 2)) + "0"),
        ("nothing behind the scheme", "Mistyped", "sottovoce:"),
        ("version 1", "Version", link(checked(b"\1" + content(one)[1:]))),
        ("an unknown cipher suite", "KeyExchange", other(cipher_suite=2)),
        ("version 4", "Version", link(checked(b"\4" + content(one)[1:]))),
        ("an unknown sound", "Sound", other(sound=3)),
        ("another unknown sound", "Sound", other(sound=255)),
        ("the sound of speech in version 3", "Sound", link(checked(silent))),
        ("a sound in version 2", "Relays", link(checked(b"\2" + content(one | dict(sound=1))[1:]))),
        ("version 3 without a sound", "Malformed", link(checked(b"\3" + content(one)[1:155]))),
        ("no relay", "Relays", other(relays=[])),
        ("nine relays", "Relays", other(relays=["a:1"] * 9)),
        ("an empty relay", "Relays", other(relays=[""])),
        ("a relay of 129 bytes", "Malformed", other(relays=["a" * 129])),
        ("a space in a relay", "Relays", other(relays=["a b"])),
        ("cut short", "Malformed", link(short)),
        ("a byte left over", "Malformed", link(checked(content(one) + b"\0"))),
    ]:
        yield FORM.line("refused", dict(why=why.replace(" ", "_"), error=error, link=text.replace(" ", "_")))


HEADER = """\
# Invites, their three forms of text, and texts that are refused (spec/control.md section 14.13).
# Written by `python3 tests/vectors/invite.py --write`, checked by the same script and by `cargo
# test`. `office_no` is the number of the host's newest table in its office.
"""

if __name__ == "__main__":
    main(__doc__, "invite.txt", HEADER, list(lines()))
