#!/usr/bin/env python3
"""Derives every value of the media plane's vectors again, by a second implementation, and counts.

    python3 tests/vectors/check.py            exits with 1 if a value differs, or if cases are
                                              missing

A line is one case: a topic, then name=value pairs. Numbers are decimal, bytes are hex, lists have
commas between.
"""

import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from derive import (
    SUITES,
    aead_seal,
    assign_kids,
    base_keys,
    content_salt,
    ctr_hmac_seal,
    decode_header,
    encode_header,
    epoch_context,
    expand,
    extract,
    frame_key,
    in_memory,
    kid_key,
    labels,
    nonce_of,
    opus_pad,
    opus_parse,
    whole_packet,
)
from shared import HERE, Form

# ---- the files -------------------------------------------------------------------------------------------------------

FORM = Form(
    numbers="kid ctr suite cipher_suite epoch step leaf attempt size fill captured level notes signed length leaves kids".split(),
    texts=["name"],
    lists=["leaves", "kids"],
)


# ---- checks: a case's inputs in, the values that it must hold out ----------------------------------------------------


def check_rfc_header(case):
    assert decode_header(case["encoded"]) == (case["kid"], case["ctr"], len(case["encoded"]))
    return dict(encoded=encode_header(case["kid"], case["ctr"]))


def check_rfc_aes_ctr_hmac(case):
    key = case["key"]
    sealed = ctr_hmac_seal(case["cipher_suite"], key, case["nonce"], case["aad"], case["pt"])
    return dict(enc_key=key[:16], auth_key=key[16:], ct=sealed)


def check_rfc_sframe(case):
    suite, kid, ctr = case["cipher_suite"], case["kid"], case["ctr"]
    key_label, salt_label = labels(suite, kid)
    secret = extract(suite, case["base_key"])
    key, salt = expand(suite, secret, key_label, SUITES[suite][1]), expand(suite, secret, salt_label, 12)
    header = encode_header(kid, ctr)
    nonce, aad = nonce_of(salt, ctr), header + case["metadata"]
    return dict(
        sframe_key_label=key_label,
        sframe_salt_label=salt_label,
        sframe_secret=secret,
        sframe_key=key,
        sframe_salt=salt,
        nonce=nonce,
        aad=aad,
        ct=header + aead_seal(suite, key, nonce, aad, case["pt"]),
    )


def check_header(case):
    taken = decode_header(case["encoded"] + b"\x55")
    assert taken == (case["kid"], case["ctr"], len(case["encoded"])), taken
    return dict(encoded=encode_header(case["kid"], case["ctr"]))


def check_header_refused(case):
    assert decode_header(case["encoded"]) is None
    return {}


def check_ratchet(case):
    context = epoch_context(case["group_id"], case["epoch"], case["authenticator"])
    return dict(context=context, base_key=base_keys(case["suite"], case["epoch_secret"], context, case["step"] + 1)[-1])


def check_kids(case):
    key = kid_key(case["suite"], case["base_key"])
    return dict(kid_key=key, kids=assign_kids(key, case["step"], case["leaves"]))


def check_frame_key(case):
    key, salt, content_key = frame_key(case["suite"], case["base_key"], case["kid"])
    nonce, salted = nonce_of(salt, case["ctr"]), content_salt(content_key, case["ctr"])
    return dict(key=key, salt=salt, content_key=content_key, nonce=nonce, content_salt=salted)


def check_padding(case):
    return dict(padded=opus_pad(case["packet"], case["size"], case["fill"]))


def check_opus_refused(case):
    try:
        opus_parse(case["packet"])
    except ValueError:
        return {}
    raise AssertionError("a packet that RFC 6716 forbids was parsed")


def check_packet(case):
    made = whole_packet(case)
    header = encode_header(made["kid"], case["ctr"])
    opened = AESGCM(made["key"]).decrypt(nonce_of(made["salt"], case["ctr"]), case["sealed"][len(header) :], header)
    assert opened == case["plaintext"] and opus_parse(opened)[0] == opus_parse(case["packet"])[0]
    return made


SECRETS = {}


def check_secrets_of(case):
    """The secrets of this case are the lines that follow it."""
    SECRETS.clear()
    SECRETS.update(in_memory(case))
    packets = [whole_packet(case | dict(leaf=0, seed=case["other_seed"], step=step)) for step in (0, 1)]
    return dict(other_public=packets[0]["public"], frame_0=packets[0]["sealed"], frame_1=packets[1]["sealed"])


def check_secret(case):
    return dict(bytes=SECRETS[case["name"]])


# File: topic: (its check, how many cases the file must have).
FILES = {
    "rfc9605.txt": {
        "header": (check_rfc_header, 289),
        "aes_ctr_hmac": (check_rfc_aes_ctr_hmac, 3),
        "sframe": (check_rfc_sframe, 5),
    },
    "header.txt": {"header": (check_header, 441), "refused": (check_header_refused, 41)},
    "ratchet.txt": {"ratchet": (check_ratchet, 12)},
    "kid.txt": {"kids": (check_kids, 14)},
    "frame_key.txt": {"frame_key": (check_frame_key, 12)},
    "padding.txt": {"padding": (check_padding, 111), "refused": (check_opus_refused, 22)},
    "signature.txt": {"packet": (check_packet, 12)},
    "wiping.txt": {"of": (check_secrets_of, 2), "secret": (check_secret, 264)},
}


def check():
    failures = total = 0
    for name, topics in FILES.items():
        seen = dict.fromkeys(topics, 0)
        for topic, case in FORM.cases(HERE / name):
            seen[topic] += 1
            try:
                for key, value in topics[topic][0](case).items():
                    assert case[key] == value, f"{key}: {FORM.text_of(key, case[key])} is not {FORM.text_of(key, value)}"
            except (AssertionError, KeyError, ValueError, StopIteration, InvalidTag) as why:
                failures += 1
                print(f"{name}: {topic} {seen[topic]}: {why!r}", file=sys.stderr)
        for topic, (_, expected) in topics.items():
            if seen[topic] != expected:
                failures += 1
                print(f"{name}: {seen[topic]} cases of {topic}, not {expected}", file=sys.stderr)
        total += sum(seen.values())
        print(f"{name}: " + ", ".join(f"{count} {topic}" for topic, count in seen.items()))
    print(f"{total} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(__doc__ if sys.argv[1:] else check())
