"""The cases of control.txt: messages, what is sealed in them, sayings, and what is refused."""

import messages as msg
from apps import INFO, Note, app_aad
from cases import hx, lines, many, refused
from law import Terms, write_list
from primitives import R, Bad, KemKey, SigKey, gcm_open, sha256, u8, u64, v16, v32


def control():
    room = None
    for topic, d in lines("control"):
        if topic == "room":
            room = d
            gid, salt = hx(d["group_id"]), hx(d["salt"])
            host = Terms(hx(d["terms"])).founder
        elif topic != "refused":
            if d.get("suite") != "79" and len(d.get("door_key", "")) <= 64 and not hybrid(d):
                yield CONTROL[topic](d, gid, salt)
        elif not hybrid(d):
            refused(d["error"], lambda: refuse(d, gid, salt, host))
            yield True
    assert room


def hybrid(d):
    """Whether a case is of suite 0x004F, which this client does not speak."""
    return len(d.get("hpke_key", "")) > 64 or len(d.get("door", "")) > 1000


def badge_case(d, gid, salt):
    made = msg.make_badge(
        gid, SigKey(hx(d["seed"])), hx(d["answer_key"]), hx(d["office"]), int(d["no"])
    )
    return made == hx(d["badge"]) and msg.badge_holds(gid, SigKey(hx(d["seed"])).pub, made)


def door_case(d, gid, salt):
    key = KemKey.derive(hx(d["hpke_input"]))
    made = msg.make_door(gid, SigKey(hx(d["answer_seed"])), hx(d["badge"]), key.pub)
    name = sha256(SigKey(hx(d["answer_seed"])).pub)[:16]
    return made == hx(d["door"]) and key.pub == hx(d["hpke_key"]) and name == hx(d["name"])


def branch_case(d, gid, salt):
    return sha256(b"sottovoce 2 branch" + hx(d["authenticator"])) == hx(d["branch"])


def heartbeat_case(d, gid, salt):
    doors = many(d["doors"])
    fields = u64(int(d["epoch"])) + hx(d["branch"]) + u64(int(d["step_ms"]))
    fields += u64(int(d["time_ms"])) + hx(d["epoch_law"]) + hx(d["known_law"])
    fields += v16(hx(d["door_key"]))
    identity = SigKey(hx(d["seed"]))
    made = msg.make_heartbeat(gid, salt, identity, doors, fields, hx(d["salt"]))
    m = msg.read_message(hx(d["message"]), gid)
    text = msg.open_beat(m.sealed, salt)
    return made == hx(d["message"]) and text == hx(d["beat"]) and beat_ok(text, gid, m.bound)


def beat_ok(text, gid, bound):
    return msg.beat_holds(msg.read_beat(text), gid, bound)


def message_case(d, gid, salt):
    if d["what"] == "call":
        return msg.read_message(hx(d["message"]), gid).kind == msg.CALL
    kind = {"mls": msg.MLS, "welcome": msg.WELCOME}[d["what"]]
    m = msg.read_message(hx(d["message"]), gid)
    return (m.kind, m.content) == (kind, hx(d["content"])) and hx(d["message"]) == u8(kind) + v32(
        m.content
    )


def chain_case(d, gid, salt):
    m = msg.read_message(hx(d["message"]), gid)
    return m.tables == many(d["tables"]) and hx(d["message"]) == u8(7) + write_list(m.tables)


def spent_case(d, gid, salt):
    return msg.read_message(hx(d["message"]), gid).seeds == many(d["seeds"])


def knock_case(d, gid, salt):
    m = msg.read_message(hx(d["message"]), gid)
    text = msg.open_knock(KemKey.derive(hx(d["hpke_input"])), m, gid, hx(d["answer_key"]))
    k = msg.read_knock(text)
    made = msg.write_knock(
        hx(d["invite"]), int(d["expiry"]), int(d["uses"]), hx(d["one_use"]), hx(d["package"])
    )
    return text == made == hx(d["content"]) and m.ref == hx(d["reference"]) and k.once


def answer_case(d, gid, salt):
    m = msg.read_message(hx(d["message"]), gid)
    text = msg.open_answer(KemKey.derive(hx(d["one_use_input"])), m, gid)
    a = msg.read_answer(text)
    if a.kind == msg.SHOWN:
        return text == hx(d["content"]) and a.statements == many(d["statements"])
    signer = SigKey(hx(d["seed"]))
    content = a.ref
    if a.kind == msg.RECEIPT:
        shown = many(d["statements"])
        content = msg.receipt_content(signer.pub, a.ref, hx(d["office"]), int(d["no"]), shown)
    elif a.kind == msg.REFUSED:
        content += u8(int(d["reason"]))
    made = msg.signed_answer(gid, a.kind, signer, content)
    return text == made == hx(d["content"]) and msg.answer_holds(a, gid, signer.pub)


def show_case(d, gid, salt):
    m = msg.read_message(hx(d["message"]), gid)
    door = KemKey.derive(hx(d["door_input"]))
    text = msg.open_show(door, m, gid)
    s = msg.read_show(text)
    good = s.ms == int(d["time_ms"]) and s.statements == many(d["statements"])
    good = good and s.key == SigKey(hx(d["seed"])).pub and text == hx(d["content"])
    return good and msg.show_holds(s, gid, door.pub, m.ref)


def leave_case(d, gid, salt):
    made = msg.make_leave(gid, SigKey(hx(d["seed"])), int(d["time_ms"]))
    return made == hx(d["leave"]) and msg.read_leave(made, gid)[1] == int(d["time_ms"])


def saying_case(d, gid, salt):
    s = msg.read_saying(hx(d["saying"]), gid)
    what = d["what"]
    if what == "speaker_key":
        name, context = hx(d["room_name"]), hx(d["speaker_context"])
        signed = msg.announcement(gid, name, int(d["epoch"]), context, s.announced, s.holds)
        return s.sig == SigKey(hx(d["leaf_seed"])).sign(signed) and s.pub == hx(d["key"])
    if what == "word":
        return (s.heard, s.at) == (int(d["heard_ms"]), int(d["at_ms"]))
    if what == "missing":
        wanted = [int(x) for x in d["numbers"].split(",") if x]
        return s.leaves == wanted and msg.say_missing(wanted) == hx(d["saying"])
    return hx(d["saying"])[0] == s.kind


def app_case(d, gid, salt):
    s = msg.read_saying(hx(d["saying"]), gid)
    wanted = (int(d["kind"]), hx(d["body"]))
    if d["what"] == "again":
        r = R(s.again.open(hx(d["epoch_secret"])))
        head = (r.take(8), r.u64())
        note = Note(r)
        r.end()
        return head == (hx(d["run"]), int(d["number"])) and (note.kind, note.body) == wanted
    if (s.app.run, s.app.number) != (hx(d["run"]), int(d["number"])):
        return False
    if d["what"] == "open":
        return (s.app.note.kind, s.app.note.body) == wanted
    branch, sender = hx(d["branch"]), int(d["sender"])
    for n, (leaf, made) in enumerate(zip(d["leaves"].split(","), many(d["inputs"]))):
        kem, sealed = s.app.keys[n]
        aad = app_aad(gid, branch, sender, int(leaf), s.app)
        key = msg.opened(KemKey.derive(made), kem, INFO, aad, sealed)
        r = R(gcm_open(key, bytes(12), s.app.sealed))
        audience, note = r.u8(), Note(r)
        r.end()
        if audience != int(d["audience"]) or (note.kind, note.body) != wanted:
            return False
    return True


CONTROL = dict(badge=badge_case, door=door_case, branch=branch_case, heartbeat=heartbeat_case)
CONTROL.update(message=message_case, chain=chain_case, spent=spent_case, knock=knock_case)
CONTROL.update(answer=answer_case, show=show_case, leave=leave_case, saying=saying_case)
CONTROL.update(app=app_case)


def must(held):
    if not held:
        raise Bad("Signature")


def refuse(d, gid, salt, host):
    """Reads a case that has to be refused, as far as it goes."""
    b, what = hx(d["data"]), d["what"]
    if what == "message":
        msg.read_message(b, gid)
    elif what == "saying":
        msg.read_saying(b, gid)
    elif what == "badge":
        must(msg.badge_holds(gid, hx(d["signer"]), b))
    elif what == "door":
        must(msg.whole(msg.Door)(b, gid).holds(host))
    elif what == "beat":
        doors = many(d["doors"])
        must(beat_ok(b, gid, sha256(u8(len(doors)) + b"".join(doors))))
    elif what == "beat_sealed":
        msg.open_beat(b, salt)
    elif what == "leave":
        msg.read_leave(b, gid)
    elif what in ("knock", "answer", "show"):
        m = msg.read_message(b, gid)
        key = KemKey.derive(hx(d.get("hpke_input") or d.get("door_input") or d["one_use_input"]))
        if what == "knock":
            msg.open_knock(key, m, gid, hx(d["answer_key"]))
        elif what == "answer":
            msg.open_answer(key, m, gid)
        else:
            msg.open_show(key, m, gid)
    elif what == "knock_content":
        msg.read_knock(b)
    elif what == "answer_content":
        a = msg.read_answer(b)
        signer = a.key if a.kind == msg.RECEIPT else hx(d["signer"])
        must(msg.answer_holds(a, gid, signer))
    elif what == "show_content":
        s = msg.read_show(b)
        must(msg.show_holds(s, gid, hx(d["door_key"]), hx(d["reference"])))
    else:
        raise AssertionError(what)
