#!/usr/bin/env python3
"""The control plane's own structures and derivations written a second time, from SPEC.md sections 6 to 8 alone.

    python3 tests/vectors/room.py             derives every value of room.txt again, and counts
    python3 tests/vectors/room.py --write     writes room.txt anew, then checks it

A line is one case: a topic, then name=value pairs. Numbers are decimal, bytes are hex, lists have commas, `link`, `qr` and
`code` are text with `_` for a space. `taken` is 0 where a reader has to refuse the message. Needs Python 3.9 and the package `cryptography` (Ed25519, X25519, AES-GCM).
"""

import base64
import hashlib
import hmac
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FILE = Path(__file__).resolve().parent / "room.txt"
NUMBERS = {"epoch", "elapsed", "term", "at", "kind", "serial", "certified", "reason", "expires", "uses", "default_role", "suite", "cipher_suite", "authenticity", "packet_size", "bans", "heard", "taken"}
TEXTS = {"link", "qr", "code"}
LISTS = {"asks"}
NUMBER_LISTS = {"leaves"}


def be(number, size):
    return number.to_bytes(size, "big")


def v8(data):
    return be(len(data), 1) + data


def raw(public):
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def fill(label, size):
    """Bytes that look random and are the same each time."""
    return hashlib.shake_256(b"sottovoce test " + label.encode()).digest(size)


def extract(salt, ikm):
    return hmac.new(salt, ikm, "sha256").digest()


def expand(prk, info, size):
    out, block, number = b"", b"", 0
    while len(out) < size:
        number += 1
        block = hmac.new(prk, block + info + bytes([number]), "sha256").digest()
        out += block
    return out[:size]


def hkdf(salt, ikm, info, size):
    return expand(extract(salt, ikm), info, size)


# ---- HPKE base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM (RFC 9180) ---------------------------------

KEM = b"KEM" + be(0x0020, 2)
HPKE = b"HPKE" + be(0x0020, 2) + be(0x0001, 2) + be(0x0001, 2)


def labeled_extract(suite, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, size):
    return expand(prk, be(size, 2) + b"HPKE-v1" + suite + label + info, size)


def derive_key_pair(ikm):
    prk = labeled_extract(KEM, b"", b"dkp_prk", ikm)
    return X25519PrivateKey.from_private_bytes(labeled_expand(KEM, prk, b"sk", b"", 32))


def hpke_seal(receiver, ephemeral, info, aad, plaintext):
    enc = raw(ephemeral.public_key())
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(receiver))
    eae_prk = labeled_extract(KEM, b"", b"eae_prk", dh)
    shared = labeled_expand(KEM, eae_prk, b"shared_secret", enc + receiver, 32)
    context = b"\0" + labeled_extract(HPKE, b"", b"psk_id_hash", b"") + labeled_extract(HPKE, b"", b"info_hash", info)
    secret = labeled_extract(HPKE, shared, b"secret", b"")
    key = labeled_expand(HPKE, secret, b"key", context, 16)
    nonce = labeled_expand(HPKE, secret, b"base_nonce", context, 12)
    return enc, AESGCM(key).encrypt(nonce, plaintext, aad)


# ---- SPEC ------------------------------------------------------------------------------------------------------------


def key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)


def fingerprint(public):
    return hashlib.sha256(b"sottovoce 1 identity" + public).digest()


def identity(case):
    public = raw(key(case["seed"]).public_key())
    return dict(public=public, id=fingerprint(public))


def credential(case):
    name, identity = v8(case["name"]), key(case["seed"])
    signed = b"sottovoce 1 credential" + v8(case["group_id"]) + case["leaf_key"] + name
    return dict(credential=b"\1" + raw(identity.public_key()) + name + identity.sign(signed))


def invite(case):
    relays = [case[name] for name in ("relay0", "relay1") if name in case]
    fixed = case["invite"] + case["lane_key"] + case["join_key"] + case["group_id"] + be(case["cipher_suite"], 2) + case["host"]
    encoded = b"\1" + fixed + be(case["expires"], 8) + be(case["uses"], 2) + be(len(relays), 1) + b"".join(map(v8, relays))
    link = "sottovoce:" + base64.urlsafe_b64encode(encoded).decode().rstrip("=")
    return dict(link=link, qr="SOTTOVOCE:." + base41(encoded))


def base41(data):
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$*-.:"
    out = ""
    for at in range(0, len(data), 2):
        value, count = int.from_bytes(data[at : at + 2], "big"), len(data[at : at + 2]) + 1
        out += "".join(digits[value // 41**place % 41] for place in range(count))
    return out


def lane(case):
    return dict(handle=hkdf(b"", case["lane_key"], b"sottovoce 1 handle", 16))


def envelope(case):
    content = b"\0" + case["message"]
    size = next(size for size in (1024, 2048, 4096, 8192, 16384) if 52 + len(content) <= size)
    text = (be(len(content), 4) + content).ljust(size - 48, b"\0")
    sealing_key = hkdf(case["salt"], case["lane_key"], b"sottovoce 1 envelope", 32)
    return dict(envelope=case["salt"] + AESGCM(sealing_key).encrypt(bytes(12), text, b""))


def knock(case):
    join = derive_key_pair(case["ikm"])
    join_key = raw(join.public_key())
    aad = v8(case["group_id"]) + case["invite"] + case["reference"]
    ephemeral = X25519PrivateKey.from_private_bytes(case["ephemeral"])
    enc, sealed = hpke_seal(join_key, ephemeral, b"sottovoce 1 knock", aad, case["key_package"])
    message = b"\1" + case["invite"] + case["reference"] + be(len(enc), 2) + enc + be(len(sealed), 4) + sealed
    return dict(join_key=join_key, message=message)


def hand_over(host, group_id, to):
    return raw(host.public_key()) + to + host.sign(b"sottovoce 1 hand-over" + v8(group_id) + to)


def certificate(host, group_id, moderator):
    return raw(host.public_key()) + host.sign(b"sottovoce 1 moderator" + v8(group_id) + moderator)


def order(issuer, group_id, target, serial, bans):
    said = target + be(serial, 8) + be(bans, 1)
    return said + raw(issuer.public_key()) + issuer.sign(b"sottovoce 1 order" + v8(group_id) + said)


def refused(case):
    signer, reason = key(case["seed"]), be(case["reason"], 1)
    public = raw(signer.public_key())
    signature = signer.sign(b"sottovoce 1 refused" + v8(case["group_id"]) + case["reference"] + reason)
    vouched = certificate(key(case["host_seed"]), case["group_id"], fingerprint(public)) if case["certified"] else b""
    return dict(message=b"\4" + case["reference"] + reason + public + signature + be(case["certified"], 1) + vouched)


def heartbeat(case):
    keeper = key(case["seed"])
    branch = hashlib.sha256(b"sottovoce 1 branch" + case["authenticator"]).digest()
    said = raw(keeper.public_key()) + be(case["term"], 8) + be(case["epoch"], 8) + branch
    said += be(case["elapsed"], 8) + be(case["at"], 8) + case["door_key"]
    said += be(1, 1) + hand_over(keeper, case["group_id"], case["next"])
    signature = keeper.sign(b"sottovoce 1 heartbeat" + v8(case["group_id"]) + said)
    return dict(branch=branch, message=b"\5" + said + signature)


def petition(case):
    signer, group_id = key(case["seed"]), case["group_id"]
    door_key = raw(derive_key_pair(case["ikm"]).public_key())
    if case["kind"] in (1, 3):
        orders = be(1, 2) + order(signer, group_id, case["target"], case["serial"], 1)
        kind = b"\1" if case["kind"] == 1 else b"\3" + case["broken_by"] + be(case["epoch"], 8)
        plea = kind + be(len(case["key_package"]), 4) + case["key_package"] + orders
    else:
        plea = b"\2" + raw(signer.public_key()) + signer.sign(b"sottovoce 1 leave" + v8(group_id) + door_key)
    aad = v8(group_id) + door_key + case["reference"]
    ephemeral = X25519PrivateKey.from_private_bytes(case["ephemeral"])
    enc, sealed = hpke_seal(door_key, ephemeral, b"sottovoce 1 petition", aad, plea)
    return dict(door_key=door_key, message=b"\6" + case["reference"] + be(len(enc), 2) + enc + be(len(sealed), 4) + sealed)


def lost(case):
    asker, asks = key(case["seed"]), case["asks"]
    said = raw(asker.public_key()) + be(case["at"], 8) + be(len(asks), 1) + b"".join(asks)
    signature = asker.sign(b"sottovoce 1 lost" + v8(case["group_id"]) + said)
    return dict(taken=int(1 <= len(asks) <= 8), message=b"\7" + said + signature)


def vouch(case):
    witness = key(case["seed"])
    said = raw(witness.public_key()) + case["keeper"] + be(case["at"], 8)
    return dict(message=b"\x08" + said + witness.sign(b"sottovoce 1 vouch" + v8(case["group_id"]) + said))


def shown(case):
    said = order(key(case["seed"]), case["group_id"], case["target"], case["serial"], case["bans"])
    return dict(taken=int(case["bans"] in (0, 1)), message=b"\x09" + said)


def echo(case):
    return dict(announcement=b"\x08" + be(case["heard"], 8) + be(case["at"], 8))


def missing(case):
    leaves = case["leaves"]
    return dict(announcement=b"\x09" + be(len(leaves), 2) + b"".join(be(leaf, 4) for leaf in leaves))


def state(case):
    group_id, founder, host = case["group_id"], key(case["seed"]), key(case["next_seed"])
    founder_id, host_id = (fingerprint(raw(one.public_key())) for one in (founder, host))
    fixed = be(case["default_role"], 1) + be(case["suite"], 2) + be(case["authenticity"], 1) + be(case["packet_size"], 2)
    chain = be(1, 1) + hand_over(founder, group_id, host_id)
    moderator = founder_id + be(1, 1) + certificate(founder, group_id, founder_id)
    roles = b"".join(sorted([moderator, case["id_speaker"] + be(2, 1)]))
    lifted = order(founder, group_id, case["lifted"], case["serial"], 0)
    orders = b"".join(sorted([lifted, order(host, group_id, case["banned"], case["serial"], 1)]))
    lists = be(2, 2) + roles + be(1, 2) + case["id_speaker"] + be(2, 2) + orders
    keeping = case["keeper"] + be(case["term"], 8)
    return dict(state=b"\1" + v8(case["name"]) + founder_id + fixed + keeping + chain + lists)


def digits(label, content):
    data = hkdf(b"", content, label, 30)
    return "_".join(f"{int.from_bytes(data[at:at + 5], 'big') % 100_000:05}" for at in range(0, 30, 5))


def room_code(case):
    keys = b"".join(sorted([case["key0"], case["key1"], case["key2"]]))
    return dict(code=digits(b"sottovoce 1 room code", v8(case["group_id"]) + v8(case["authenticator"]) + keys))


def pair_code(case):
    return dict(code="_".join(digits(b"sottovoce 1 pair code", half) for half in sorted([case["key0"], case["key1"]])))


DERIVE = {f.__name__: f for f in (identity, credential, invite, lane, envelope, knock, refused, heartbeat, petition, lost, vouch, shown, echo, missing, state, room_code, pair_code)}


def inputs():
    b = fill
    yield "identity", dict(seed=b("seed a", 32))
    yield "identity", dict(seed=b("seed b", 32))
    yield "credential", dict(seed=b("seed a", 32), group_id=b("group", 16), leaf_key=b("leaf", 32), name="Zoë".encode())
    fixed = dict(invite=b("invite", 16), lane_key=b("lane", 32), join_key=b("join", 32), group_id=b("group", 16), host=b("host", 32))
    yield "invite", fixed | dict(cipher_suite=0x0001, expires=1_800_000_000, uses=0, relay0=b"relay.example:443")
    yield "invite", fixed | dict(cipher_suite=0x004F, expires=0xFFFF_FFFF_FFFF, uses=65535, relay0=b"[::1]:4000", relay1=b"moq+https://r.example/x")
    yield "lane", dict(lane_key=b("lane", 32))
    for size in (0, 971, 972):
        yield "envelope", dict(lane_key=b("lane", 32), salt=b(f"salt {size}", 32), message=b(f"message {size}", size))
    sealed = dict(ikm=b("ikm", 32), group_id=b("group", 16), invite=b("invite", 16), reference=b("reference", 32))
    yield "knock", sealed | dict(ephemeral=b("ephemeral", 32), key_package=b("key package", 300))
    group_id = b("group", 16)
    for reason in range(7):
        signer = dict(seed=b("seed b", 32), certified=1) if reason % 2 else dict(seed=b("seed a", 32), certified=0)
        yield "refused", signer | dict(host_seed=b("seed a", 32), group_id=group_id, reference=b("reference", 32), reason=reason)
    said = dict(authenticator=b("auth", 32), term=3, epoch=258, elapsed=15_000, at=1_800_000_000_123, door_key=b("door", 32), next=b("next", 32))
    yield "heartbeat", dict(seed=b("seed a", 32), group_id=group_id) | said
    asked = dict(seed=b("seed a", 32), ikm=b("ikm", 32), group_id=group_id, reference=b("reference", 32), ephemeral=b("ephemeral", 32))
    returns = dict(key_package=b("key package", 300), target=b("banned", 32), serial=1_800_000_000)
    yield "petition", asked | dict(kind=1) | returns
    yield "petition", asked | dict(kind=2)
    yield "petition", asked | dict(kind=3, broken_by=b("committer", 32), epoch=258) | returns
    at, others = dict(at=1_800_000_000_123), [b(f"member {n}", 32) for n in range(9)]
    for count in (1, 8, 0, 9):
        yield "lost", dict(seed=b("seed a", 32), group_id=group_id, asks=others[:count]) | at
    yield "vouch", dict(seed=b("seed b", 32), group_id=group_id, keeper=b("keeper", 32)) | at
    for bans in (1, 0, 2):
        order = dict(target=b("keeper", 32), serial=1_800_000_000 + bans, bans=bans)
        yield "shown", dict(seed=b("seed a", 32), group_id=group_id) | order
    yield "echo", dict(heard=1_799_999_999_876) | at
    for leaves in ([3], [0, 70_000, 0xFFFF_FFFF]):
        yield "missing", dict(leaves=leaves)
    fixed = dict(default_role=3, suite=5, authenticity=1, packet_size=240, keeper=b("keeper", 32), term=0x1_0000_0000)
    who = dict(id_speaker=b("speaker", 32), banned=b("banned", 32), lifted=b("lifted", 32), serial=1_800_000_000)
    yield "state", dict(name=b"tea", group_id=group_id, seed=b("seed a", 32), next_seed=b("seed b", 32)) | fixed | who
    keys = {f"key{n}": b(f"key {n}", 32) for n in range(3)}
    yield "room_code", dict(group_id=b("group", 16), authenticator=b("auth", 32)) | keys
    yield "pair_code", dict(key0=keys["key0"], key1=keys["key1"])
    yield "pair_code", dict(key0=keys["key1"], key1=keys["key2"])


def text_of(name, value):
    if name in LISTS:
        return ",".join(one.hex() for one in value)
    if name in NUMBER_LISTS:
        return ",".join(map(str, value))
    return str(value) if name in NUMBERS | TEXTS else value.hex()


def value_of(name, text):
    if name in LISTS:
        return [bytes.fromhex(one) for one in text.split(",") if one]
    if name in NUMBER_LISTS:
        return [int(one) for one in text.split(",")]
    return int(text) if name in NUMBERS else text if name in TEXTS else bytes.fromhex(text)


HEADER = """\
# What the control plane derives, signs and writes (SPEC sections 6 to 8).
# Written by `python3 tests/vectors/room.py --write`, checked by the same script and by `cargo test`.
# One case a line: a topic, then name=value pairs. Numbers decimal, bytes hex, lists with commas; in a code `_` stands for a space.
# `lost`, `vouch`, `shown` (Order), `echo` and `missing` are those of section 8.4; what has taken=0 has to be refused.
"""


def main():
    if sys.argv[1:] == ["--write"]:
        lines = [" ".join([topic, *(f"{n}={text_of(n, v)}" for n, v in (case | DERIVE[topic](case)).items())]) for topic, case in inputs()]
        FILE.write_text(HEADER + "\n".join(lines) + "\n", encoding="ascii")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    values = cases = 0
    for line in FILE.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        topic, *pairs = line.split(" ")
        case = {name: value_of(name, text) for name, text in (pair.split("=") for pair in pairs)}
        for name, value in DERIVE[topic](case).items():
            if case[name] != value:
                sys.exit(f"room.txt: {topic}: {name} is {text_of(name, case[name])}, derived {text_of(name, value)}")
            values += 1
        cases += 1
    print(f"room.txt: {cases} cases, {values} values derived again")


if __name__ == "__main__":
    main()
