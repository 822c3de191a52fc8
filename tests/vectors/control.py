#!/usr/bin/env python3
"""Every message of the control lane a second time, from spec/control.md sections 14.2 to 14.9 and
spec/messages.md section 2 alone.

    python3 tests/vectors/control.py             derives every value of control.txt again
    python3 tests/vectors/control.py --write     writes control.txt anew, for a change of these
                                                 sections

Needs Python 3.9 and the package `cryptography`.
"""

from damaged import damaged
from messages import (
    ANSWER_SEEDS,
    OFFICE,
    Pair,
    STANDINGS,
    T,
    TABLE,
    again,
    answer,
    app,
    app_sealed,
    badge,
    beat,
    beat_case,
    door,
    door_of,
    heartbeat,
    knock,
    knock_content,
    leave,
    line,
    name_of_door,
    note,
    receipt,
    refused,
    seal_key,
    sealed_beat,
    show,
    show_content,
    shown,
    speaker_key,
    statement_list,
    to_some,
    waiting,
)
from room import BOB, GROUP_ID, HOST, LANE_KEY, MODERATOR, Petition, SALT, TERMS, table
from shared import fill, main, public, sha256, u16, u32, u64, u8, v32


def lines():
    yield line("room", group_id=GROUP_ID, terms=TERMS, salt=SALT, lane_key=LANE_KEY)
    petition = Petition("bob", BOB)
    for n, office, no in ((0, GROUP_ID, 0), (1, OFFICE, 2**64 - 1)):
        answer_key, pair = public(ANSWER_SEEDS[n]), Pair(f"door {n}")
        signed_badge = badge(answer_key, office, no)
        yield line("badge", seed=HOST, answer_key=answer_key, office=office, no=no, badge=signed_badge)
        yield line(
            "door",
            answer_seed=ANSWER_SEEDS[n],
            badge=signed_badge,
            hpke_input=pair.input,
            hpke_key=pair.public,
            door=door(signed_badge, pair.public, ANSWER_SEEDS[n]),
            name=name_of_door(answer_key),
        )
    yield line(
        "branch",
        authenticator=fill("authenticator", 32),
        branch=sha256(b"sottovoce 2 branch" + fill("authenticator", 32)),
    )
    door_key = Pair("door key")
    for doors in ([], [door_of(0)], [door_of(0), door_of(1, 1, OFFICE, 2**64 - 1), door_of(2)]):
        case = beat_case(doors, door_key.public)
        salt = fill(f"beat salt {len(doors)}", 32)
        signed_beat = beat(case)
        yield line(
            "heartbeat", **case, beat=signed_beat, salt=salt, message=heartbeat(doors, sealed_beat(salt, signed_beat))
        )

    yield line(
        "message", what="mls", content=fill("private message", 100), message=u8(2) + v32(fill("private message", 100))
    )
    yield line("message", what="welcome", content=fill("welcome", 100), message=u8(3) + v32(fill("welcome", 100)))
    bare = table(HOST, GROUP_ID, T, public(MODERATOR))["bare"], table(MODERATOR, OFFICE, T + 1, public(HOST))["bare"]
    yield line("chain", tables=bare[:1], message=u8(7) + statement_list(bare[:1]))
    yield line("chain", tables=bare, message=u8(7) + statement_list(bare))
    yield line("message", what="call", content=b"", message=u8(8))
    seeds = [fill(f"spent {n}", 32) for n in range(16)]
    for some in (seeds[:1], seeds):
        yield line("spent", seeds=some, message=u8(16) + u8(len(some)) + b"".join(some))

    # 14.6 to 14.8, in an ordinary room and in a hybrid one.
    for suite in (1, 0x4F):
        yield from sealed_lines(suite)
    yield from sayings(petition)
    yield from app_messages()
    yield from damaged(petition)


def sealed_lines(suite):
    petition = Petition("bob", BOB, suite)
    answer_seed, pair, one_use, keeper = (
        ANSWER_SEEDS[0],
        Pair("door 0", suite),
        Pair("one-use", suite),
        Pair("door key", suite),
    )
    invite = dict(invite=fill("invite", 16), expiry=1_800_000_000, uses=1)
    content = knock_content(invite["invite"], invite["expiry"], invite["uses"], one_use.public, petition.message)
    yield line(
        "knock",
        suite=suite,
        answer_key=public(answer_seed),
        hpke_input=pair.input,
        reference=petition.reference,
        **invite,
        one_use=one_use.public,
        package=petition.message,
        content=content,
        message=knock(pair, public(answer_seed), petition.reference, content),
    )

    reference = petition.reference
    answers = [
        ("receipt", dict(seed=HOST, office=GROUP_ID, no=0, statements=[]), receipt(HOST, reference, GROUP_ID, 0, []))
    ]
    answers += [
        (
            "receipt",
            dict(seed=MODERATOR, office=OFFICE, no=T, statements=STANDINGS),
            receipt(MODERATOR, reference, OFFICE, T, STANDINGS),
        )
    ]
    answers += [
        ("refused", dict(seed=answer_seed, reason=reason), refused(answer_seed, reference, reason))
        for reason in range(9)
    ]
    answers += [("waiting", dict(seed=answer_seed), waiting(answer_seed, reference))]
    answers += [
        ("shown", dict(statements=some), shown(some)) for some in ([], STANDINGS + [TABLE["statement"], TABLE["bare"]])
    ]
    for what, case, content in answers if suite == 1 else answers[:1]:
        yield line(
            "answer",
            suite=suite,
            what=what,
            one_use_input=one_use.input,
            reference=reference,
            **case,
            content=content,
            message=answer(one_use, reference, content),
        )

    wishes = [
        ("nothing", u8(0)),
        ("return", u8(1) + v32(petition.message) + u8(0)),
        ("return_broken", u8(1) + v32(petition.message) + u8(1) + public(HOST) + u64(77)),
        ("leave", u8(2) + leave(BOB, T)),
    ]
    for what, wish in wishes if suite == 1 else wishes[1:2]:
        reference = petition.reference if what.startswith("return") else fill("reference", 32)
        content = show_content(BOB, one_use.public, T, wish, STANDINGS, keeper.public, reference)
        yield line(
            "show",
            suite=suite,
            what=what,
            door_input=keeper.input,
            reference=reference,
            seed=BOB,
            one_use=one_use.public,
            time_ms=T,
            wish=wish,
            statements=STANDINGS,
            content=content,
            message=show(keeper, reference, content),
        )
    if suite == 1:
        yield line("leave", seed=BOB, time_ms=T, leave=leave(BOB, T))


def sayings(petition):
    context, key = fill("speaker context", 32), public(fill("speaker", 32))
    place = dict(
        leaf_seed=petition.leaf_seed,
        room_name="Zoë's room".encode(),
        epoch=3,
        speaker_context=context,
        key=key,
        announced=T // 1000,
        holds=1800,
    )
    yield line("saying", what="speaker_key", **place, saying=speaker_key(**place))
    yield line(
        "saying",
        what="word",
        heard_ms=T,
        at_ms=T + 5,
        known_law=fill("known law", 32),
        saying=u8(2) + u64(T) + u64(T + 5) + fill("known law", 32),
    )
    statements = STANDINGS + [TABLE["statement"], TABLE["bare"]]
    for some in ([], statements):
        yield line("saying", what="statements", statements=some, saying=u8(3) + statement_list(some))
    ids = [fill(f"id {n}", 32) for n in range(256)]
    for some in (ids[:1], ids):
        yield line("saying", what="ask_statements", ids=some, saying=u8(4) + u16(len(some)) + b"".join(some))
    yield line("saying", what="admit", package=petition.message, saying=u8(5) + v32(petition.message))
    yield line("saying", what="leave", leave=leave(BOB, T), saying=u8(6) + leave(BOB, T))
    for numbers in ([0], [0, 7, 999], list(range(1000))):
        yield line(
            "saying",
            what="missing",
            numbers=numbers,
            saying=u8(7) + u16(len(numbers)) + b"".join(u32(n) for n in numbers),
        )
    yield line("saying", what="answer_key", key=public(ANSWER_SEEDS[0]), saying=u8(8) + public(ANSWER_SEEDS[0]))
    signed_badge = badge(public(ANSWER_SEEDS[0]), GROUP_ID, 0)
    yield line("saying", what="badge", badge=signed_badge, saying=u8(9) + signed_badge)
    yield line("saying", what="door", door=door_of(0), saying=u8(10) + door_of(0))


def app_messages():
    run, number, branch = fill("run", 8), 7, fill("branch", 32)
    texts = ((1, "Grüße".encode()), (0x8003, fill("body", 640)), (4, u64(3) + u64(1500)))
    for kind, body in texts:
        yield line("app", what="open", run=run, number=number, kind=kind, body=body, saying=app(run, number, note(kind, body)))
    kind, body = texts[0]
    for suite, leaves, audience in ((1, [5], 0), (1, [9, 0], 2), (0x4F, [5], 0)):
        pairs, content_key = [Pair(f"leaf {leaf}", suite) for leaf in leaves], fill("content key", 32)
        keys = [seal_key(pair, GROUP_ID, branch, 1, leaf, run, number, content_key) for pair, leaf in zip(pairs, leaves)]
        yield line(
            "app",
            what="sealed",
            suite=suite,
            branch=branch,
            sender=1,
            leaves=leaves,
            inputs=[pair.input for pair in pairs],
            content_key=content_key,
            run=run,
            number=number,
            audience=audience,
            kind=kind,
            body=body,
            saying=app_sealed(run, number, keys, to_some(content_key, audience, note(kind, body))),
        )
    secret, salt = fill("epoch secret", 32), fill("again salt", 32)
    for kind, body in texts[:2]:
        yield line(
            "app",
            what="again",
            run=run,
            number=number,
            kind=kind,
            body=body,
            branch=branch,
            epoch_secret=secret,
            salt=salt,
            saying=again(branch, salt, secret, run, number, note(kind, body)),
        )


HEADER = """\
# Messages of the control lane, what is sealed in them, sayings, and what a reader refuses
# (spec/control.md 14.2 to 14.9). Written by `python3 tests/vectors/control.py --write`, checked by
# the same script and by `cargo test`. Keys come from seeds: of Ed25519 (`seed`, `answer_seed`,
# `leaf_seed`), or inputs of DeriveKeyPair (`..._input`). Names of cases have _ for spaces. `error`:
# Malformed is the form, Signature a signature that does not hold, Sealed what does not open.
"""

if __name__ == "__main__":
    main(__doc__, "control.txt", HEADER, list(lines()))
