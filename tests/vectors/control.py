#!/usr/bin/env python3
"""Every message of the control lane a second time, from spec/control.md sections 14.2 to 14.9 alone.

    python3 tests/vectors/control.py             derives every value of control.txt again
    python3 tests/vectors/control.py --write     writes control.txt anew, for a change of these sections

Needs Python 3.9 and the package `cryptography`.
"""

from messages import (
    Pair,
    answer,
    badge,
    beat,
    door,
    heartbeat,
    knock,
    knock_content,
    leave,
    name_of_door,
    receipt,
    refused,
    sealed_beat,
    show,
    show_content,
    shown,
    speaker_key,
    statement_list,
    waiting,
)
from room import BOB, GROUP_ID, HOST, LANE_KEY, MODERATOR, SALT, TERMS, Petition, signed, standing, table, tag
from shared import Form, fill, main, public, sha256, u8, u16, u32, u64, v16, v32

FORM = Form(
    numbers="no epoch step_ms time_ms expiry uses reason announced holds heard_ms at_ms numbers suite kind".split(),
    texts=["what", "why", "error"],
    lists=["doors", "tables", "seeds", "statements", "ids", "numbers"],
)
T = 1_790_000_005_000

# ---- the cases -------------------------------------------------------------------------------------------------------

OFFICE = table(HOST, GROUP_ID, T, public(MODERATOR))["id"]
STANDINGS = [standing(HOST, GROUP_ID[:16], tag(BOB), word, n)[0] for word, n in ((0x81, 1), (0, 7))]
TABLE = table(HOST, GROUP_ID, T, public(HOST), entries=[tag(BOB) + u8(3) + u32(9) + u8(0) + u32(1)])
ANSWER_SEEDS = [fill(f"answer key {n}", 32) for n in range(3)]


def door_of(n, suite=1, office=GROUP_ID, no=0):
    return door(badge(public(ANSWER_SEEDS[n]), office, no), Pair(f"door {n}", suite).public, ANSWER_SEEDS[n])


def beat_case(doors, door_key, seed=HOST, time_ms=T):
    return dict(
        seed=seed,
        epoch=3,
        branch=sha256(b"sottovoce 2 branch" + fill("authenticator", 32)),
        step_ms=12_345,
        time_ms=time_ms,
        epoch_law=sha256(b"sottovoce 2 law"),
        known_law=fill("known law", 32),
        door_key=door_key,
        doors=doors,
    )


def line(topic, **case):
    return FORM.line(topic, case)


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


def flip(data, at):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def damaged(petition):
    """What a reader refuses: `what` says which structure it is, `error` whether its form or its signature is wrong."""

    def bad(what, why, data, error="Malformed", **case):
        return line("refused", what=what, why=why, error=error, **case, data=data)

    def ends(what, data):
        """A structure that ends early, or has a byte left over."""
        yield bad(what, "a_byte_short", data[:-1])
        yield bad(what, "a_byte_more", data + b"\0")

    # Messages.
    doors, door_key = [door_of(0)], Pair("door key").public
    sealed = sealed_beat(fill("beat salt 1", 32), beat(beat_case(doors, door_key)))
    yield bad("message", "empty", b"")
    for number in (0, 9, 15, 17, 255):
        yield bad("message", f"kind_{number}", u8(number))
    yield from ends("message", heartbeat(doors, sealed))
    yield bad("message", "four_doors", heartbeat(doors * 4, sealed))
    yield bad("message", "a_door_cut_short", u8(1) + u8(1) + doors[0][:-1] + v16(sealed))
    yield bad(
        "message", "a_door_with_a_key_of_2049_bytes", heartbeat([doors[0][:136] + v16(bytes(2049)) + bytes(64)], sealed)
    )
    yield bad("message", "a_sealed_beat_of_2315_bytes", heartbeat(doors, bytes(2315)))
    yield from ends("message", u8(2) + v32(b"mls"))
    yield bad("message", "mls_of_4109569_bytes", u8(2) + u32(4_109_569) + b"and so on")
    yield from ends("message", u8(3) + v32(b"welcome"))
    bare = table(HOST, GROUP_ID, T, public(MODERATOR))["bare"]
    yield bad("message", "a_chain_of_none", u8(7) + statement_list([]))
    yield bad("message", "a_chain_of_nine", u8(7) + statement_list([bare] * 9))
    yield from ends("message", u8(7) + statement_list([bare]))
    yield bad("message", "call_with_more", u8(8) + b"\0")
    yield bad("message", "no_seeds", u8(16) + u8(0))
    yield bad("message", "seventeen_seeds", u8(16) + u8(17) + bytes(17 * 32))
    yield from ends("message", u8(16) + u8(1) + bytes(32))
    content, answer_key = fill("content", 80), public(ANSWER_SEEDS[0])
    yield from ends("message", knock(Pair("door 0"), answer_key, petition.reference, content))
    yield from ends("message", answer(Pair("one-use"), petition.reference, content))
    yield from ends("message", show(Pair("door key"), petition.reference, content))
    head = name_of_door(answer_key) + petition.reference
    yield bad("message", "knock_with_a_kem_of_2049_bytes", u8(4) + head + v16(bytes(2049)) + v32(content))
    yield bad("message", "knock_of_10289_bytes", u8(4) + head + v16(bytes(32)) + v32(bytes(10_289)))
    yield bad(
        "message", "answer_with_a_kem_of_2049_bytes", u8(5) + petition.reference + v16(bytes(2049)) + v32(content)
    )

    # Statement lists, as a Statements saying.
    yield bad("saying", "a_list_with_a_count_too_great", u8(3) + statement_list(STANDINGS, count=3))
    yield bad("saying", "a_list_with_a_count_too_small", u8(3) + statement_list(STANDINGS, count=1))
    yield bad("saying", "a_list_with_32769", u8(3) + statement_list(STANDINGS, count=32_769))
    yield bad("saying", "a_statement_of_63_bytes", u8(3) + statement_list([bytes(63)]))
    yield bad("saying", "a_statement_of_262145_bytes", u8(3) + u16(1) + u32(262_145) + bytes(10))

    # What is sealed.
    one_use = Pair("one-use").public
    knocked = knock_content(fill("invite", 16), 1_800_000_000, 1, one_use, petition.message)
    yield from ends("knock_content", knocked)
    yield bad(
        "knock_content", "a_one_use_key_of_2049_bytes", knock_content(bytes(16), 0, 0, bytes(2049), petition.message)
    )
    yield bad("knock_content", "a_key_package_of_8193_bytes", knock_content(bytes(16), 0, 0, one_use, bytes(8193)))
    reference = petition.reference
    yield bad("answer_content", "empty", b"")
    yield bad("answer_content", "kind_0", u8(0) + reference)
    yield bad("answer_content", "kind_5", u8(5) + reference)
    for whole in (
        receipt(HOST, reference, GROUP_ID, 0, STANDINGS),
        refused(ANSWER_SEEDS[0], reference, 0),
        waiting(ANSWER_SEEDS[0], reference),
        shown(STANDINGS),
    ):
        yield from ends("answer_content", whole)
    yield bad("answer_content", "reason_9", refused(ANSWER_SEEDS[0], reference, 9))
    show_of = lambda wish: show_content(BOB, one_use, T, wish, STANDINGS, door_key, reference)
    yield from ends("show_content", show_of(u8(0)))
    yield bad("show_content", "wish_3", show_of(u8(3)))
    yield bad("show_content", "return_that_is_neither", show_of(u8(1) + v32(petition.message) + u8(2)))
    yield bad("show_content", "return_with_a_key_package_of_8193_bytes", show_of(u8(1) + v32(bytes(8193)) + u8(0)))

    # Sayings.
    yield bad("saying", "empty", b"")
    for number in (0, 11, 255):
        yield bad("saying", f"kind_{number}", u8(number))
    yield from ends("saying", speaker_key(petition.leaf_seed, b"room", 1, bytes(32), answer_key, 1, 1800))
    yield from ends("saying", u8(2) + u64(T) + u64(T) + bytes(32))
    yield from ends("saying", u8(3) + statement_list(STANDINGS))
    yield from ends("saying", u8(4) + u16(1) + bytes(32))
    yield bad("saying", "257_ids", u8(4) + u16(257) + bytes(257 * 32))
    yield from ends("saying", u8(5) + v32(petition.message))
    yield bad("saying", "a_key_package_of_8193_bytes", u8(5) + v32(bytes(8193)))
    yield from ends("saying", u8(6) + leave(BOB, T))
    yield from ends("saying", u8(7) + u16(1) + u32(5))
    yield bad("saying", "1001_leaves", u8(7) + u16(1001) + bytes(4004))
    yield from ends("saying", u8(8) + answer_key)
    yield from ends("saying", u8(9) + badge(answer_key, GROUP_ID, 0))
    yield from ends("saying", u8(10) + door_of(0))

    # Signatures: of somebody else, for another room, with another bound, under another label, with a bit turned.
    false = lambda what, why, data, **case: bad(what, why, data, "Signature", **case)
    content = answer_key + GROUP_ID + u64(0)
    yield false("badge", "by_a_moderator", signed(b"badge", MODERATOR, content), signer=public(HOST))
    yield false(
        "badge", "of_another_room", signed(b"badge", HOST, content, group_id=fill("other", 32)), signer=public(HOST)
    )
    yield false("badge", "under_the_label_of_a_door", signed(b"door", HOST, content), signer=public(HOST))
    yield false("badge", "a_bit_of_the_number", flip(badge(answer_key, GROUP_ID, 0), 71), signer=public(HOST))
    good = badge(answer_key, GROUP_ID, 0)
    yield false("door", "by_another_answer_key", door(good, Pair("door 0").public, ANSWER_SEEDS[1]))
    yield false("door", "a_bit_of_the_hpke_key", flip(door(good, Pair("door 0").public, ANSWER_SEEDS[0]), 140))
    yield false(
        "beat",
        "by_another",
        beat(beat_case(doors, door_key))[:-64] + beat(beat_case(doors, door_key, MODERATOR))[-64:],
        doors=doors,
    )
    yield false("beat", "with_a_door_less", beat(beat_case(doors, door_key)), doors=[])
    yield false("beat", "with_another_door", beat(beat_case(doors, door_key)), doors=[door_of(1)])
    yield false("beat", "a_bit_of_the_time", flip(beat(beat_case(doors, door_key)), 87), doors=doors)
    yield false("leave", "by_another", public(BOB) + u64(T) + leave(HOST, T)[-64:])
    yield false("leave", "a_bit_of_the_time", flip(leave(BOB, T), 39))
    yield false(
        "show_content",
        "for_another_door_key",
        show_content(BOB, one_use, T, u8(0), [], Pair("door 0").public, reference),
        door_key=door_key,
        reference=reference,
    )
    yield false(
        "show_content",
        "for_another_reference",
        show_content(BOB, one_use, T, u8(0), [], door_key, bytes(32)),
        door_key=door_key,
        reference=reference,
    )
    yield false(
        "answer_content",
        "a_receipt_by_another",
        flip(receipt(HOST, reference, GROUP_ID, 0, []), 1),
        reference=reference,
        signer=answer_key,
    )
    yield false(
        "answer_content",
        "a_receipt_with_a_bit_turned",
        flip(receipt(HOST, reference, GROUP_ID, 0, []), 70),
        reference=reference,
        signer=answer_key,
    )
    yield false(
        "answer_content",
        "refused_by_another_answer_key",
        refused(ANSWER_SEEDS[1], reference, 0),
        reference=reference,
        signer=answer_key,
    )
    yield false(
        "answer_content",
        "waiting_by_another_answer_key",
        waiting(ANSWER_SEEDS[1], reference),
        reference=reference,
        signer=answer_key,
    )

    # What does not open: sealed for another purpose, to another key, for another room or reference.
    closed = lambda what, why, data, **case: bad(what, why, data, "Sealed", **case)
    pair = Pair("door 0")
    yield closed(
        "knock",
        "of_another_room",
        knock(pair, answer_key, reference, knocked, fill("other", 32)),
        hpke_input=pair.input,
        answer_key=answer_key,
    )
    yield closed(
        "knock",
        "a_bit_of_the_text",
        flip(knock(pair, answer_key, reference, knocked), -1),
        hpke_input=pair.input,
        answer_key=answer_key,
    )
    yield closed(
        "knock",
        "a_bit_of_the_encapsulation",
        flip(knock(pair, answer_key, reference, knocked), 60),
        hpke_input=pair.input,
        answer_key=answer_key,
    )
    moved = knock(pair, answer_key, reference, knocked)
    yield closed(
        "knock",
        "under_another_reference",
        moved[:17] + bytes(32) + moved[49:],
        hpke_input=pair.input,
        answer_key=answer_key,
    )
    sealed_answer = answer(Pair("one-use"), reference, waiting(ANSWER_SEEDS[0], reference))
    yield closed("answer", "to_another_key", sealed_answer, hpke_input=pair.input)
    yield closed(
        "answer",
        "under_another_reference",
        sealed_answer[:1] + bytes(32) + sealed_answer[33:],
        hpke_input=Pair("one-use").input,
    )
    shows = show(Pair("door key"), reference, show_of(u8(0)))
    yield closed("show", "a_bit_of_the_text", flip(shows, -1), hpke_input=Pair("door key").input)
    yield closed(
        "beat_sealed",
        "under_another_salt_of_terms",
        sealed_beat(fill("beat salt 1", 32), beat(beat_case(doors, door_key)), fill("other", 32)),
    )
    yield closed("beat_sealed", "a_bit_of_the_salt", flip(sealed, 0))
    yield closed("beat_sealed", "shorter_than_salt_and_tag", sealed[:47])


HEADER = """\
# Messages of the control lane, what is sealed in them, sayings, and what a reader refuses (spec/control.md 14.2 to 14.9).
# Written by `python3 tests/vectors/control.py --write`, checked by the same script and by `cargo test`.
# Keys come from seeds: of Ed25519 (`seed`, `answer_seed`, `leaf_seed`), or inputs of DeriveKeyPair (`..._input`). Names of cases
# have _ for spaces. `error`: Malformed is the form, Signature a signature that does not hold, Sealed what does not open.
"""

if __name__ == "__main__":
    main(__doc__, "control.txt", HEADER, list(lines()))
