"""Holds every module to the test vectors: `python3 vectors.py DIRECTORY`."""

import sys

import invites
import reports
from branches import place
from cases import hx, lines, many, refused
from envelope import Lane, message_id, tree_of
from knowing import taken_in
from law import Law, Set, Terms, parse
from media import Step, base0, dec_header, enc_header, epoch_context, frame_msg, nonce, pad_opus
from media import parse_opus, signed_plain, speaker_context
from member import digits, turn
from primitives import Bad, SigKey, gcm_seal, hkdf_expand, hmac256, sha256, u8, u32, u64, verify
from vectors_control import control
from vectors_entering import entering
from vectors_mls import mls


def ed25519():
    for _, d in lines("ed25519"):
        yield verify(hx(d["key"]), hx(d["signature"]), hx(d["message"])) == (d["holds"] == "1")


def law():
    gid = None
    for topic, d in lines("law"):
        if topic == "terms":
            names = "cipher_suite suite authenticity packet_size unattended default_role"
            numbers = [int(d[x]) for x in names.split()]
            sound = int(d.get("sound", 0))
            terms = Terms.make(hx(d["salt"]), hx(d["founder"]), hx(d["name"]), *numbers, sound)
            yield terms.raw == hx(d["terms"]) and terms.group_id == hx(d["group_id"])
        elif topic == "tag":
            terms.salt = hx(d["salt"])
            yield terms.tag(SigKey(hx(d["seed"])).pub) == hx(d["tag"])
        elif topic == "invite_tag":
            tag = terms.invite_tag(hx(d["invite"]), int(d["expiry"]), int(d["uses"]))
            yield tag == hx(d["tag"])
        elif topic == "table":
            gid = hx(d["group_id"])
            t = parse(hx(d["bare"]), gid)
            whole = parse(hx(d["statement"]), gid) if "statement" in d else t
            yield t.holds(gid) and whole.id == t.id and t.id == hx(d.get("id", t.id.hex()))
        elif topic == "standing":
            gid = hx(d["group_id"])
            s = parse(hx(d["statement"]), gid)
            yield s.id == hx(d["id"]) and s.holds(gid)
        elif topic == "law":
            g, pins = hx(d["group_id"]), many(d["pins"])
            terms.salt, terms.founder = hx(d["salt"]), hx(d["founder"])
            w = Law(terms, Set(parse(x, g) for x in many(d["statements"])), pins, gid=g)
            again = Law(terms, w.live_set(), pins, gid=g)
            tags = many(d["tags"])
            yield (
                w.hash == again.hash == hx(d["law_hash"])
                and w.over == (d["over"] == "1")
                and w.chain == many(d["chain"])
                and w.ids == many(d["ids"])
                and ",".join("%02x%02x" % (w.role(t), w.banned(t)) for t in tags) == d["positions"]
                and w.locked() == (d["locked"] == "1")
            )
        elif topic == "order":
            g = hx(d["group_id"])
            w = Law(terms, Set(parse(x, g) for x in many(d["statements"])), gid=g)
            keys = many(d["members"])
            yield sorted(keys, key=lambda k: place(w, k), reverse=True) == many(d["keys"])
        elif topic == "taken":
            g = hx(d["group_id"])
            known = Set(parse(x, g) for x in many(d["statements"]))
            w, demoted, seen = Law(terms, known, gid=g), many(d["demoted"]), many(d["seen"])
            entries = taken_in(w, known, seen, demoted, many(d["keep"]))[1]
            made = [t + u8(e[0]) + u32(e[1]) + u8(e[2]) + u32(e[3]) for t, e in entries.items()]
            yield sorted(made) == many(d["entries"])
        elif topic == "refused":

            def read(b):
                if not parse(b, gid).holds(gid):
                    raise Bad("Signature")

            refused(None, read, hx(d["statement"]))
            yield True


def media():
    for topic, d in lines("header"):
        if topic == "header":
            kid, ctr, e = int(d["kid"]), int(d["ctr"]), hx(d["encoded"])
            yield enc_header(kid, ctr) == e and dec_header(e) == (kid, ctr, len(e))
        else:
            refused(None, dec_header, hx(next(iter(d.values()))))
            yield True
    for topic, d in lines("padding"):
        if topic == "padding":
            padded = pad_opus(hx(d["packet"]), int(d["size"]), int(d["fill"]))
            yield padded == hx(d["padded"])
        else:
            refused(None, parse_opus, hx(d["packet"]))
            yield True
    for _, d in lines("ratchet"):
        c = epoch_context(hx(d["group_id"]), int(d["epoch"]), hx(d["authenticator"]))
        yield c == hx(d["context"]) and step_key(d, c) == hx(d["base_key"])
    for _, d in lines("kid"):
        s = Step(int(d["suite"]), int(d["step"]), hx(d["base_key"]))
        leaves = [int(x) for x in d["leaves"].split(",")]
        kids = s.assign(leaves)
        yield s.kk == hx(d["kid_key"]) and ",".join(str(kids[x]) for x in leaves) == d["kids"]
    for _, d in lines("frame_key"):
        key, salt, content = Step(int(d["suite"]), 0, hx(d["base_key"])).key(int(d["kid"]))
        want = tuple(hx(d[x]) for x in ("key", "salt", "content_key", "nonce"))
        yield (key, salt, content, nonce(salt, int(d["ctr"]))) == want
    for _, d in lines("signature"):
        yield sealed(d)
    for topic, d in lines("rfc9605"):
        if topic == "header":
            yield enc_header(int(d["kid"]), int(d["ctr"])) == hx(d["encoded"])
        elif topic == "sframe" and d["cipher_suite"] in "45":
            s = Step(int(d["cipher_suite"]), 0, hx(d["base_key"]))
            kid, ctr = int(d["kid"]), int(d["ctr"])
            key, salt, _ = s.key(kid)
            head = enc_header(kid, ctr)
            text = head + gcm_seal(key, nonce(salt, ctr), hx(d["pt"]), head + hx(d["metadata"]))
            yield s.secret == hx(d["sframe_secret"]) and text == hx(d["ct"])


def step_key(d, context):
    """The base key of a step."""
    suite = int(d["suite"])
    b = base0(suite, hx(d["epoch_secret"]), context)
    for i in range(int(d["step"])):
        b = Step(suite, i, b).next
    return b


def sealed(d):
    c = epoch_context(hx(d["group_id"]), int(d["epoch"]), hx(d["authenticator"]))
    s = Step(int(d["suite"]), int(d["step"]), step_key(d, c))
    leaf, ctr, size = int(d["leaf"]), int(d["ctr"]), int(d["size"])
    kid = s.assign([int(x) for x in d["leaves"].split(",")])[leaf]
    key, salt, content = s.key(kid)
    packet = hx(d["packet"])
    if d["signed"] == "1":
        speaker = SigKey(hx(d["seed"]))
        tail = [int(d[x]) for x in ("captured", "level", "notes")]
        body = signed_plain(packet, size, *tail)
        context = speaker_context(c, leaf, speaker.pub)
        text = body + speaker.sign(frame_msg(context, s.i, kid, ctr, content, body))
    else:
        text = pad_opus(packet, size)
    head = enc_header(kid, ctr)
    out = head + gcm_seal(key, nonce(salt, ctr), text, head)
    return kid == int(d["kid"]) and text == hx(d["plaintext"]) and out == hx(d["sealed"])


def envelope():
    def message(n):
        return bytes((i + i // 256) % 256 for i in range(n))

    for topic, d in lines("envelope"):
        lane = Lane(hx(d["lane_key"])) if "lane_key" in d else None
        if topic == "handle":
            yield lane.handle == hx(d["handle"])
        elif topic == "whole":
            m = message(int(d["length"]))
            e = lane.env(b"\0" + m, hx(d["salt"]))
            good = len(e) == int(d["size"]) and sha256(e) == hx(d["sha256"])
            yield good and lane.open(e) == m and e == hx(d.get("envelope", e.hex()))
        elif topic == "message":
            n, m = hx(d["nonce"]), message(int(d["length"]))
            contents = Lane.contents(m, n)
            levels = tree_of(n, [m[i : i + 16053] for i in range(0, len(m), 16053)])
            id = message_id(n, len(m), levels[-1][0])
            good = levels[-1][0] == hx(d["root"]) and id == hx(d["id"])
            fresh = Lane(bytes(32))
            got = [fresh.take(c, 16384) for c in reversed(contents)]
            yield good and len(contents) == int(d["count"]) and got[-1] == m
        elif topic == "fragment":
            c = Lane.contents(message(int(d["length"])), hx(d["nonce"]))[int(d["index"])]
            e = lane.env(c, hx(d["salt"]))
            good = sha256(c) == hx(d["content"]) and b"".join(many(d["path"])) in c
            yield good and len(e) == int(d["size"]) and sha256(e) == hx(d["sha256"])
        else:
            refused("Envelope", lane.open, hx(d["envelope"]))
            yield True


def invite():
    for topic, d in lines("invite"):
        if topic == "invite":
            i = invites.read_invite(d["link"])
            forms = [invites.read_invite(d[x]).bytes() for x in ("qr", "page")]
            want = [hx(d[x]) for x in ("lane_key", "group_id", "host", "office", "invite")]
            good = [i.lane, i.gid, i.host, i.office, i.id] == want
            good = good and (i.no, i.expiry) == (int(d["office_no"]), int(d["expiry"]))
            good = good and i.relays == d["relays"].split(",") and i.link() == d["link"]
            qr = "SOTTOVOCE:." + invites.base41(i.bytes())
            yield good and qr == d["qr"] and i.bytes() == hx(d["bytes"]) == forms[0] == forms[1]
        else:
            text = next(v for k, v in d.items() if k not in ("why", "error"))
            refused(d["error"], invites.read_invite, text)
            yield True


def names():
    for topic, d in lines("names"):
        if topic == "room_code":
            keys = sorted(many(d["identities"]))
            g, a = hx(d["group_id"]), hx(d["authenticator"])
            content = u8(len(g)) + g + u8(len(a)) + a + b"".join(keys)
            yield digits(b"sottovoce 1 room code", content).replace(" ", "") == d["code"]
        elif topic == "pair_code":
            pair = sorted((hx(d["one"]), hx(d["other"])))
            code = "".join(digits(b"sottovoce 1 pair code", k) for k in pair)
            yield code.replace(" ", "") == d["code"]
        elif topic == "key_name":
            s = Step(int(d["suite"]), 0, hx(d["base_key"]))
            info = b"sottovoce 1 name" + u64(int(d["kid"]))
            yield hkdf_expand(s.secret, info, 16, s.h) == hx(d["name"])
        elif topic == "turn":
            tags = many(d["tags"])
            yield sorted(tags, key=lambda t: turn(hx(d["table"]), b"", t), reverse=True) == tags


def generator():
    for _, d in lines("generator"):
        key, outputs, keys = hx(d["seed"]), [], []
        for i, n in enumerate(d["draws"].split(",")):
            if str(i) in d["stir_before"].split(","):
                key = hmac256(hmac256(key, hx(d["entropy"])), b"sottovoce 1 stir")
            blocks = range(int(n) // 32 + 1)
            out = b"".join(hmac256(key, b"sottovoce 1 draw" + u64(j)) for j in blocks)
            outputs.append(out[: int(n)].hex())
            key = hmac256(key, b"sottovoce 1 key")
            keys.append(key.hex())
        yield ",".join(outputs) == d["outputs"] and ",".join(keys) == d["keys"]


def report():
    for file in ("report", "report_sample"):
        for _, d in lines(file):
            published = many(d.get("published", ""))
            v = reports.verdict(hx(d["file"]), hx(d["seed"]), int(d["received"]), published)
            yield v == d.get("verdict", "Proved")


def main():
    wrong = 0
    for topic in (ed25519, law, media, envelope, invite, names, generator, report, control, mls, entering):
        results = list(topic())
        wrong += results.count(False)
        print(f"{topic.__name__}: {len(results)} cases, {results.count(False)} wrong")
        assert results
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
