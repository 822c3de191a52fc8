#!/usr/bin/env python3
"""The law of a room written a second time, from spec/law.md alone.

    python3 tests/vectors/law.py             derives every value of law.txt again, and counts
    python3 tests/vectors/law.py --write     writes law.txt anew, then checks it

A line is one case: a topic, then name=value pairs. Numbers are decimal, bytes are hex, lists have
commas. `moderators` and `entries` are lists of the encodings of spec/law.md. Needs Python 3.9 and
the package `cryptography` (Ed25519).
"""

import functools
import sys

import shared
from shared import HERE, Form, be, fingerprint, mac, public, sha256, sign, v8

FORM = Form(
    numbers="sound cipher_suite suite authenticity packet_size unattended default_role expiry uses n no word floor over locked".split(),
    texts=["why", "error"],
    lists=["moderators", "entries", "statements", "ids", "tags", "chain", "positions", "pins", "keys", "members", "seen", "keep"],
)
WINDOW, MAX_TAGS, MAX_HAND_OVERS = 4096, 256, 1024
fill = functools.partial(shared.fill, of="sottovoce law test ")


# L1 to L4.
def terms(case):
    encoded = (b"\3" if case["sound"] else b"\2") + case["salt"] + case["founder"] + v8(case["name"])
    encoded += be(case["cipher_suite"], 2) + be(case["suite"], 2) + be(case["authenticity"], 1)
    encoded += be(case["packet_size"], 2) + be(case["unattended"], 2) + be(case["default_role"], 1)
    encoded += be(case["sound"], 1) if case["sound"] else b""
    return dict(terms=encoded, group_id=sha256(b"sottovoce 2 terms" + encoded))


def tag_of(salt, identity):
    return mac(salt, b"sottovoce 2 tag" + fingerprint(identity))[:16]


def tag(case):
    return dict(tag=tag_of(case["salt"], public(case["seed"])))


def invite_tag(case):
    content = case["invite"] + be(case["expiry"], 8) + be(case["uses"], 2)
    return dict(tag=mac(case["salt"], b"sottovoce 2 invite" + content)[:16])


# L5 to L10.
def signed(name, group_id, content, seed):
    label = b"sottovoce 2 " + name
    return content + sign(seed, label + group_id + content), sha256(label + b" id" + group_id + content)


def standing(case):
    content = public(case["seed"]) + case["term"] + case["about"] + be(case["word"], 1) + be(case["n"], 4)
    statement, name = signed(b"standing", case["group_id"], content, case["seed"])
    assert len(statement) == 133
    return dict(statement=b"\0" + statement, id=name)


def rest_of(case):
    out = be(case["floor"], 4) + be(len(case["moderators"]), 1) + b"".join(sorted(case["moderators"]))
    return out + be(len(case["entries"]), 2) + b"".join(sorted(case["entries"]))


def table(case):
    rest = rest_of(case)
    content = public(case["seed"]) + case["office"] + be(case["no"], 8) + case["host"] + sha256(rest)
    statement, name = signed(b"table", case["group_id"], content, case["seed"])
    assert len(statement) == 200
    return dict(bare=b"\1" + statement, statement=b"\2" + statement + rest, id=name)


# L12 to L25.
STRICT = {0: 6, 0x11: 5, 1: 4, 0x12: 3, 2: 2, 0x13: 1, 3: 0, 0x80: 0, 0x81: 1}


def parse(group_id, data):
    kind, data = data[0], data[1:]
    if kind == 0:
        content = data[:69]
        return dict(kind="standing", id=sha256(b"sottovoce 2 standing id" + group_id + content), issuer=data[:32], term=data[32:48], about=data[48:64], word=data[64], n=int.from_bytes(data[65:69], "big"), signature=data[69:133])
    content, rest = data[:136], data[200:]
    out = dict(kind="table", id=sha256(b"sottovoce 2 table id" + group_id + content), signer=data[:32], office=data[32:64], no=int.from_bytes(data[64:72], "big"), host=data[72:104], rest=None)
    if kind == 2:
        floor, count, at = int.from_bytes(rest[:4], "big"), rest[4], 5
        moderators = {}
        for _ in range(count):
            moderators[rest[at : at + 32]] = (rest[at + 32 : at + 48], rest[at + 48])
            at += 49
        count, at, entries = int.from_bytes(rest[at : at + 2], "big"), at + 2, {}
        for _ in range(count):
            entry = rest[at : at + 26]
            entries[entry[:16]] = dict(role=entry[16], n=int.from_bytes(entry[17:21], "big"), banned=entry[21], bn=int.from_bytes(entry[22:26], "big"))
            at += 26
        out["rest"] = dict(floor=floor, moderators=moderators, entries=entries)
    return out


def law_of(group_id, salt, founder, statements, pins):
    statements = {s["id"]: s for s in (parse(group_id, data) for data in statements)}
    tables = [s for s in statements.values() if s["kind"] == "table"]
    zero = bytes(32)

    def counts(t):
        if t["rest"] is not None or (t["host"] == zero and t["host"] != t["signer"]):
            return True
        return any(u["office"] == t["id"] and u["signer"] == t["host"] and counts(u) for u in tables)

    pinned = set()
    for pin in pins:
        while pin not in pinned:
            pinned.add(pin)
            if pin in statements:
                pin = statements[pin]["office"]
    host, office, t, chain, over = founder, group_id, None, [], False
    while not over:
        found = [u for u in tables if u["signer"] == host and u["office"] == office and u["host"] != host and counts(u)]
        if len(chain) >= MAX_HAND_OVERS:
            found = [u for u in found if u["host"] == zero]
        if not found:
            break
        t = min(found, key=lambda u: (u["id"] not in pinned, u["id"]))
        chain.append(t["id"])
        host, office, over = t["host"], t["id"], t["host"] == zero
    if not over:
        found = [u for u in tables if u["signer"] == host and u["office"] == office and u["host"] == host and u["rest"] is not None]
        if found:
            most = max(u["no"] for u in found)
            t = min((u for u in found if u["no"] == most), key=lambda u: u["id"])
    live = set(chain) | ({t["id"]} if t else set())
    rest = t["rest"] if t and t["rest"] else dict(floor=0, moderators={}, entries={})
    if over:
        return dict(host=host, over=1, locked=0, chain=chain, live=live, about=lambda tag: (0, 0))
    terms = {k: term for k, (term, _) in rest["moderators"].items()} | {host: office[:16]}
    base = lambda tag: rest["entries"].get(tag, dict(role=0, n=rest["floor"], banned=0, bn=rest["floor"]))
    ban = lambda s: s["word"] >= 0x80
    greatest = {}
    for s in statements.values():
        if s["kind"] == "standing" and terms.get(s["issuer"]) == s["term"]:
            low = base(s["about"])["bn" if ban(s) else "n"]
            if low < s["n"] <= low + WINDOW:
                place = (s["issuer"], s["about"], ban(s))
                order = lambda s: (s["n"], STRICT[s["word"]], bytes(255 - b for b in s["id"]))
                if place not in greatest or order(s) > order(greatest[place]):
                    greatest[place] = s
    words = []
    for issuer, register in ((issuer, register) for issuer in terms for register in (False, True)):
        said = {about: s for (by, about, of), s in greatest.items() if (by, of) == (issuer, register)}
        words += [said[tag] for tag in sorted(said)[:MAX_TAGS]]
    live |= {s["id"] for s in words}

    def about(tag):
        entry = base(tag)
        said = [s for s in words if s["about"] == tag]
        roles = [s for s in said if not ban(s)]
        role = max(roles, key=lambda s: (s["n"], STRICT[s["word"]]))["word"] if roles else entry["role"]
        by_host = [s for s in said if ban(s) and s["issuer"] == host]
        banned, settled = (int(by_host[0]["word"] == 0x81), by_host[0]["n"]) if by_host else (entry["banned"], entry["bn"])
        if any(s["word"] == 0x81 and s["n"] > settled for s in said if s["issuer"] != host):
            banned = 1
        return role, banned

    ranks = {tag_of(salt, k): k for k in terms}

    def position(tag):
        if tag in ranks:
            muted = rest["moderators"].get(ranks[tag], (b"", 0))[1]
            return (0x13 if muted else 3), 0
        return about(tag)

    def role_said(tag):
        said = [s for s in words if s["about"] == tag and not ban(s)]
        return max(said, key=lambda s: (s["n"], STRICT[s["word"]], bytes(255 - b for b in s["id"])), default=None)

    ranks_of = lambda key: 2 if key == host else int(key in rest["moderators"])
    extra = dict(base=base, words=words, ban=ban, rest=rest, role_said=role_said, rank=ranks_of, table=t["id"] if t else zero)
    return dict(host=host, over=0, locked=about(bytes(16))[1], chain=chain, live=live, about=position, **extra)


def law(case):
    found = law_of(case["group_id"], case["salt"], case["founder"], case["statements"], case["pins"])
    ids = sorted(found["live"])
    positions = [bytes(found["about"](tag)) for tag in case["tags"]]
    return dict(host=found["host"], over=found["over"], locked=found["locked"], chain=found["chain"], ids=ids, law_hash=sha256(b"sottovoce 2 law" + b"".join(ids)), positions=positions)


def found_by(case):
    return law_of(case["group_id"], case["salt"], case["founder"], case["statements"], [])


def order(case):
    """The order of keepers (spec/room.md, K1)."""
    found = found_by(case)

    def place(key):
        tag = tag_of(case["salt"], key)
        entry = found["rest"]["entries"].get(tag)
        listed = entry is not None and entry["role"] != 0 and not entry["banned"]
        word = None if listed else found["role_said"](tag)
        drawn = b"sottovoce 2 turn" + found["table"] + (word["signature"] if word else b"") + tag
        return found["rank"](key), listed, sha256(drawn)

    return dict(keys=sorted(case["members"], key=place, reverse=True))


def taken(case):
    """What the next table of the host takes in (L32), before what is done by it."""
    found, seen, keep = found_by(case), case["seen"], case["keep"]
    out = {tag: dict(entry) for tag, entry in found["rest"]["entries"].items()}
    for tag in sorted({s["about"] for s in found["words"]}):
        said = [s for s in found["words"] if s["about"] == tag]
        ends = lambda s: s["issuer"] == case["demoted"]
        wakes = tag not in seen and any(ends(s) and s["word"] == 0 for s in said)
        wakes = wakes and any(not ends(s) and not found["ban"](s) for s in said)
        known = tag in found["rest"]["entries"] or tag in seen or wakes or any(s["issuer"] == found["host"] for s in said)

        def takes(s):
            if s["id"] in keep:
                return True
            return known and (not ends(s) or (s["word"] == 0 and tag not in seen))

        if not known and not any(takes(s) for s in said):
            continue
        base = found["base"](tag)
        holds, numbers = dict(base), dict(n=base["n"], bn=base["bn"])
        for s in said:
            name = "bn" if found["ban"](s) else "n"
            numbers[name] = max(numbers[name], s["n"])
        took = [s for s in said if takes(s)]
        roles = [s for s in took if not found["ban"](s)]
        if roles:
            holds["role"] = max(roles, key=lambda s: (s["n"], STRICT[s["word"]]))["word"]
        settled = base["bn"]
        for s in took:
            if found["ban"](s) and s["issuer"] == found["host"]:
                holds["banned"], settled = int(s["word"] == 0x81), s["n"]
        if any(s["word"] == 0x81 and s["n"] > settled for s in took if s["issuer"] != found["host"]):
            holds["banned"] = 1
        out[tag] = holds | numbers
    return dict(entries=[tag + be(e["role"], 1) + be(e["n"], 4) + be(e["banned"], 1) + be(e["bn"], 4) for tag, e in sorted(out.items())])


DERIVE = dict(order=order, taken=taken, refused=lambda case: {}, terms=terms, tag=tag, invite_tag=invite_tag, standing=standing, table=table, law=law)


def refused(group_id, seed, good, full):
    """L5 to L10: what is no statement of this room."""
    label = b"sottovoce 2 table"

    def made(rest, kind=2):
        content = public(seed) + group_id + be(7, 8) + public(seed) + sha256(rest)
        return be(kind, 1) + content + sign(seed, label + group_id + content) + rest

    def rest(moderators=(), entries=(), count=None):
        head = be(0, 4) + be(len(moderators), 1) + b"".join(moderators)
        return head + be(len(entries) if count is None else count, 2) + b"".join(entries)

    someone = sorted(fill(f"key {n}", 32) + fill("term", 16) + be(0, 1) for n in range(17))
    entry = sorted(fill(f"tag {n}", 16) + be(3, 1) + be(1, 4) + be(0, 1) + be(1, 4) for n in range(2))
    word = lambda word: good[:65] + be(word, 1) + good[66:]
    bit = lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    odd = lambda at, value: entry[0][:at] + value + entry[0][at + 1 :]
    for why, error, statement in [
        ("empty", "Malformed", b""),
        ("kind_3", "Malformed", be(3, 1) + good[1:]),
        ("a_standing_cut_short", "Malformed", good[:-1]),
        ("a_standing_with_a_byte_more", "Malformed", good + b"\0"),
        *((f"word_{number}", "Malformed", word(number)) for number in (4, 0x10, 0x14, 0x7F, 0x82, 0xFF)),
        ("a_table_cut_short", "Malformed", full[:-1]),
        ("a_table_with_a_byte_more", "Malformed", full + b"\0"),
        ("a_rest_that_is_not_there", "Malformed", full[:201]),
        ("a_rest_where_none_belongs", "Malformed", be(1, 1) + full[1:]),
        ("another_rest", "Malformed", bit(full, 201)),
        ("moderators_that_descend", "Malformed", made(rest([someone[1], someone[0]]))),
        ("a_moderator_twice", "Malformed", made(rest([someone[0]] * 2))),
        ("seventeen_moderators", "Malformed", made(rest(someone))),
        ("the_host_as_moderator", "Malformed", made(rest([public(seed) + someone[0][32:]]))),
        ("a_moderator_without_a_key", "Malformed", made(rest([bytes(32) + someone[0][32:]]))),
        ("a_moderator_without_a_term", "Malformed", made(rest([someone[0][:32] + bytes(16) + be(0, 1)]))),
        ("a_moderator_muted_by_2", "Malformed", made(rest([someone[0][:48] + be(2, 1)]))),
        ("entries_that_descend", "Malformed", made(rest([], entry[::-1]))),
        ("an_entry_twice", "Malformed", made(rest([], [entry[0]] * 2))),
        ("a_ban_word_as_a_role", "Malformed", made(rest([], [odd(16, be(0x81, 1))]))),
        ("an_entry_banned_by_2", "Malformed", made(rest([], [odd(21, be(2, 1))]))),
        ("4097_entries", "Malformed", made(rest([], entry[:1], 4097))),
        ("a_bit_of_the_issuer", "Signature", bit(good, 1)),
        ("a_bit_of_the_number", "Signature", bit(good, 69)),
        ("a_bit_of_the_signature", "Signature", bit(good, -1 % len(good))),
        ("a_bit_of_the_office", "Signature", bit(full, 40)),
    ]:
        yield "refused", dict(why=why, error=error, statement=statement)


def inputs():
    seeds = [fill(f"seed {n}", 32) for n in range(6)]
    host, m, n, x, y, z = seeds
    salt = fill("salt", 32)
    plain = dict(salt=salt, founder=public(host), name="Zoë's room".encode(), cipher_suite=1, suite=4, authenticity=0, packet_size=240, unattended=600, default_role=3, sound=0)
    hybrid = plain | dict(salt=fill("salt 2", 32), name=b"x" * 64, cipher_suite=79, suite=5, authenticity=1, packet_size=1000, unattended=65535, default_role=2)
    yield "terms", plain
    yield "terms", hybrid
    yield "terms", plain | dict(packet_size=400, sound=1)
    yield "terms", hybrid | dict(packet_size=400, sound=2)
    group_id = terms(plain)["group_id"]
    for seed in (host, x):
        yield "tag", dict(salt=salt, seed=seed)
    for expiry, uses in ((1800000000, 1), (2**64 - 1, 65535)):
        yield "invite_tag", dict(salt=salt, invite=fill("invite", 16), expiry=expiry, uses=uses)
    t = {seed: tag_of(salt, public(seed)) for seed in seeds}
    terms_of = {m: fill("term m", 16), n: fill("term n", 16), z: fill("term z", 16)}
    say = lambda seed, term, about, word, number: dict(group_id=group_id, seed=seed, term=term, about=about, word=word, n=number)
    moderator = lambda seed, muted=0: public(seed) + terms_of[seed] + be(muted, 1)
    entry = lambda tag, role, number, banned, bn: tag + be(role, 1) + be(number, 4) + be(banned, 1) + be(bn, 4)
    tab = lambda seed, office, no, to, floor, moderators, entries: dict(group_id=group_id, seed=seed, office=office, no=no, host=to, floor=floor, moderators=sorted(moderators), entries=sorted(entries))
    first = tab(host, group_id, 1700000000000, public(host), 3, [moderator(m), moderator(n, 1)], [entry(t[x], 3, 10, 0, 3), entry(t[y], 0x12, 2**32 - 1, 1, 20)])
    second = tab(host, group_id, 2**64 - 1, public(m), 0, [moderator(n)], [entry(t[x], 1, 5000, 0, 5000)])
    closing = tab(m, table(second)["id"], 0, bytes(32), 0, [], [])
    by_new = tab(m, table(second)["id"], 7, public(m), 9, [moderator(n)], [entry(t[y], 2, 5, 1, 5)])
    for case in (first, second, closing, by_new):
        yield "table", case
    yield from refused(group_id, host, standing(say(host, group_id[:16], t[x], 3, 1))["statement"], table(first)["statement"])
    own = group_id[:16]
    words = [
        say(m, terms_of[m], t[x], 0x81, 4),
        say(m, terms_of[m], t[x], 0x80, 5),
        say(n, terms_of[n], t[x], 0x81, 4),
        say(host, own, t[x], 0x11, 4106),
        say(m, terms_of[m], t[z], 0x13, 4099),
        say(m, terms_of[m], t[z], 3, 4100),
        say(n, terms_of[n], t[z], 2, 4099),
        say(host, own, t[y], 0x80, 21),
        say(m, terms_of[m], t[y], 0x81, 22),
        say(m, terms_of[m], bytes(16), 0x81, 4),
        say(x, own, t[z], 0, 50),
        say(m, own, t[z], 0, 50),
        say(m, table(second)["id"][:16], t[x], 2, 5001),
    ]
    for case in words:
        yield "standing", case
    spoken = [standing(case)["statement"] for case in words]
    tags = [t[seed] for seed in seeds]
    ask = lambda statements, pins=(): dict(group_id=group_id, salt=salt, founder=public(host), statements=statements, pins=list(pins), tags=tags)
    full = lambda case: table(case)["statement"]
    yield "law", ask([])
    yield "law", ask([full(first)])
    yield "law", ask([full(first)] + spoken)
    yield "law", ask([full(first)] + spoken[1:3])
    yield "law", ask([full(first), full(second)] + spoken)
    yield "law", ask([table(second)["bare"]] + spoken)
    yield "law", ask([full(first), table(second)["bare"], full(by_new)] + spoken)
    yield "law", ask([table(second)["bare"], table(closing)["bare"]] + spoken)
    other = second | dict(host=public(x))
    for pin in (second, other):
        yield "law", ask([full(second), full(other)], [table(pin)["id"]])
    yield "law", ask([full(second), full(other), full(by_new)], [table(by_new)["id"]])

    # K1: rank, then whom the table admits, then whom standings admit, by their signatures.
    guests = [fill(f"guest {number}", 32) for number in range(6)]
    of = lambda seed: tag_of(salt, public(seed))
    listing = tab(host, group_id, 1700000000000, public(host), 0, [moderator(m), moderator(n), moderator(z)], [entry(of(seed), role, 5, banned, 5) for seed, role, banned in ((guests[0], 3, 0), (guests[1], 2, 0), (guests[2], 0, 0), (guests[3], 3, 1))])
    admitted = [say(m, terms_of[m], of(guests[2]), 3, 6), say(host, own, of(guests[2]), 2, 7), say(host, own, of(guests[3]), 0x80, 6)]
    admitted += [say(host, own, of(guests[1]), 3, 6), say(m, terms_of[m], of(guests[4]), 2, 1), say(host, own, of(guests[5]), 3, 1)]
    admitted += [say(host, own, of(n), 3, 1), say(host, own, of(z), 2, 1)]
    admit = [standing(case)["statement"] for case in admitted]
    members = [public(seed) for seed in [host, m, n, z, *guests]]
    by = lambda statements: dict(group_id=group_id, salt=salt, founder=public(host), statements=statements)
    yield "order", dict(by([full(listing)] + admit), members=members)
    unlisted = [standing(say(host, own, of(seed), 3, 1))["statement"] for seed in guests]
    yield "order", dict(by(unlisted), members=[public(host)] + members[4:])

    # L32: whose words the next table takes in.
    p, q, r, s, u, v, w, invited = (fill(f"taken {number}", 16) for number in range(8))
    before = tab(host, group_id, 1700000000000, public(host), 3, [moderator(m), moderator(n)], [entry(p, 3, 10, 0, 3), entry(w, 3, 10, 0, 3)])
    acts = [
        say(m, terms_of[m], p, 0x81, 4),
        say(m, terms_of[m], p, 1, 11),
        say(m, terms_of[m], q, 3, 9),
        say(n, terms_of[n], q, 2, 8),
        say(m, terms_of[m], r, 0x81, 7),
        say(n, terms_of[n], r, 3, 4),
        say(host, own, s, 3, 4),
        say(m, terms_of[m], s, 0, 5),
        say(host, own, u, 0x81, 4),
        say(n, terms_of[n], u, 0x80, 5),
        say(m, terms_of[m], u, 0x81, 6),
        say(n, terms_of[n], v, 3, 4),
        say(m, terms_of[m], w, 0, 12),
        say(n, terms_of[n], invited, 3, 4),
        say(m, terms_of[m], invited, 0, 5),
    ]
    acts = [standing(case) for case in acts]
    said = [full(before)] + [act["statement"] for act in acts]
    for demoted, keep, seen in ((b"", [], [q]), (public(m), [], [q]), (public(m), [], [q, w]), (public(m), [acts[0]["id"], acts[4]["id"]], [q, w]), (public(n), [acts[11]["id"]], [])):
        yield "taken", dict(by(said), demoted=demoted, keep=keep, seen=seen)


HEADER = """# The law of a room: terms, tags, statements and what sets of them say (spec/law.md).
# Written by `python3 tests/vectors/law.py --write`, checked by the same script and by `cargo test`.
# One case a line: a topic, then name=value pairs. Numbers decimal, bytes hex, lists with commas.
# `statement` has the kind byte of L10 in front, `bare` is the table without its rest. A position is
# role byte and ban byte.
"""


def main():
    if sys.argv[1:] == ["--write"]:
        lines = [FORM.line(topic, {**case, **DERIVE[topic](case)}) for topic, case in inputs()]
        (HERE / "law.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="ascii")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    values = cases = 0
    for topic, case in FORM.cases(HERE / "law.txt"):
        for name, value in DERIVE[topic](case).items():
            if case[name] != value:
                sys.exit(f"law.txt: {topic}: {name} is {FORM.text_of(name, case[name])}, derived {FORM.text_of(name, value)}")
            values += 1
        cases += 1
    print(f"law.txt: {cases} cases, {values} values derived again")


if __name__ == "__main__":
    main()
