"""What a reader of the control lane refuses: the negative cases of `control.py` (spec/control.md
14.2 to 14.9)."""

from messages import (
    ANSWER_SEEDS,
    Pair,
    STANDINGS,
    T,
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
    sealed_beat,
    show,
    show_content,
    shown,
    speaker_key,
    statement_list,
    waiting,
)
from room import BOB, GROUP_ID, HOST, MODERATOR, signed, table
from shared import fill, public, u16, u32, u64, u8, v16, v32


def flip(data, at):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def damaged(petition):
    """What a reader refuses: `what` says which structure it is, `error` whether its form or its
    signature is wrong."""

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
    for number in (0, 13, 255):
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
    run, key = fill("run", 8), v16(bytes(32)) + bytes(48)
    yield from ends("saying", app(run, 1, note(1, b"text")))
    yield bad("saying", "a_body_of_641_bytes", app(run, 1, note(1, bytes(641))))
    yield bad("saying", "an_app_message_that_is_neither", u8(11) + run + u64(1) + u8(2) + note(1, b"text"))
    yield from ends("saying", app_sealed(run, 1, [key], bytes(20)))
    yield bad("saying", "no_recipient", app_sealed(run, 1, [], bytes(20)))
    yield bad("saying", "18_recipients", app_sealed(run, 1, [key] * 18, bytes(20)))
    yield bad("saying", "sealed_to_some_of_662_bytes", app_sealed(run, 1, [key], bytes(662)))
    said = again(bytes(32), bytes(32), bytes(32), run, 1, note(1, b"text"))
    yield from ends("saying", said)
    yield bad("saying", "an_again_of_677_bytes", u8(12) + bytes(64) + v16(bytes(677)))

    # Signatures: of somebody else, for another room, with another bound, under another label, with
    # a bit turned.
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
