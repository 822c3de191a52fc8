#!/usr/bin/env python3
"""What MLS carries for a room a second time, from spec/mls.md, spec/control.md 14.10 to 14.12 and
RFC 9420 alone.

    python3 tests/vectors/mls.py             derives every value of mls.txt again
    python3 tests/vectors/mls.py --write     writes mls.txt anew, for a change of these pages

A host founds a room, lets Bob in, says a Word, makes Carol a speaker by a commit, and says another
Word. Everything that Bob receives is there, with his private keys, so another MLS stack can be Bob.
After that come KeyPackages, Welcomes and commits that he refuses. No commit here adds a leaf:
stacks compare the lifetime of an added leaf with their clock.
"""

from host import COMPONENT, NEWCOMERS, Room, context_extensions, dictionary, exporter, update
from rfc9420 import COMMIT, Group, capabilities, extension, mls_message, ratchet_tree, v
from room import BOB, CAROL, EVE, HOST, MADE, Petition, authenticated, credential, law_hash, lifetime, terms_of
from shared import Form, be, fill, main, public, sha256, u8, u16, u64

FORM = Form(
    numbers=["suite", "made", "epoch", "said_ms", "sframe_suite", "leaf", "count", "takes"],
    texts=["what", "why", "error", "name"],
    lists=["ids", "statements", "leaves"],
)


def word(heard, at, known):
    return u8(2) + u64(heard) + u64(at) + known


def line(topic, **case):
    return FORM.line(topic, case)


def lines():
    # M28, vector 1 of the page.
    root, secret = exporter(bytes(range(32)))
    yield line("exporter", epoch_secret=bytes(range(32)), application_export=root, exported=secret)
    for known, want in [
        (
            "5fd54df446e9259173a7de9e5decc77000a9caabb736d635a45d5cc9ad8e2c47",
            "d79b2384c1eaf53cecadcf27b44f15b906ff143210914cfc6234e7e14a54e5cf",
        ),
        (
            "17e7d7e660528c3cc013df0cd3dbefe9eea8c249ae575bcfa315f15a747f6ff8",
            "24b209604ac89fec04293355ebbe657075883a7cd736f2bfe3b68a38c620e8c0",
        ),
    ]:
        root, secret = exporter(bytes.fromhex(known))
        assert secret.hex() == want
        yield line("exporter", epoch_secret=bytes.fromhex(known), application_export=root, exported=secret)
    yield line("capabilities", suite=1, bytes=capabilities(1))
    yield line("capabilities", suite=0x4F, bytes=capabilities(0x4F))
    for name, made in (("B", 0), ("Bob", MADE), ("x" * 64, 2**64 - 1)):
        leaf_seed = fill(f"leaf {name}", 32)
        room = terms_of(1)["group_id"]
        yield line(
            "credential",
            group_id=room,
            seed=BOB,
            leaf_seed=leaf_seed,
            name=name,
            made=made,
            credential=credential(BOB, leaf_seed, name.encode(), made),
        )
        low, high = lifetime(made)
        yield line("lifetime", made=made, not_before=be(low, 8), not_after=be(high, 8))
    for said, ids in ((0, []), (MADE, [fill(f"id {n}", 32) for n in range(3)])):
        yield line("aad", said_ms=said, ids=sorted(ids), bytes=authenticated(said, ids))
    # The bound: ids are the numbers from 1, of 32 bytes.
    for count in (10_240, 10_241):
        many = authenticated(MADE, [be(number, 32) for number in range(1, count + 1)])
        yield line("aad_bound", said_ms=MADE, count=count, takes=int(count <= 10_240), hash=sha256(many))
    for suite in (1, 0x4F):
        yield from story(suite)
    yield from key_packages()
    yield from welcomes()
    yield from commits()


def story(suite):
    room = Room(suite)
    bob = room.bob
    yield line(
        "key_package",
        suite=suite,
        group_id=room.group_id,
        seed=BOB,
        name="Bob",
        made=MADE,
        leaf_seed=bob.leaf_seed,
        drawn_from=bob.drawn_from,
        init_input=bob.init_input,
        path_input=bob.path_input,
        init_private=bob.init_private,
        path_private=bob.path_private,
        message=bob.message,
        reference=bob.reference,
    )
    yield line("epoch", what="founded", **room.epoch())
    room.let_in_bob()
    yield line(
        "welcome",
        suite=suite,
        host=public(HOST),
        message=room.welcome(bob),
        newcomers=room.newcomers(),
        terms=room.terms,
        statements=[one[0] for one in room.statements],
    )
    yield line("epoch", what="entered", **room.epoch())
    said = word(0, MADE + 1500, law_hash([one[1] for one in room.statements]))
    yield line("said", suite=suite, saying=said, message=room.group.say(said, fill("guard 1", 4)))
    added = room.grant(CAROL)
    commit = room.commit([added[1]], [update(room.context())], MADE + 78_000)
    yield line(
        "commit",
        suite=suite,
        said_ms=MADE + 78_000,
        ids=[added[1]],
        statements=[added[0]],
        aad=room.aad,
        message=commit,
    )
    yield line("epoch", what="merged", **room.epoch())
    said = word(MADE, MADE + 79_000, law_hash([one[1] for one in room.statements]))
    yield line("said", suite=suite, saying=said, message=room.group.say(said, fill("guard 3", 4), padding=bytes(5)))


# ---- what is refused -------------------------------------------------------------------------------------------------


def key_packages():
    """What MLS refuses already. Leaves that only a room refuses are in the trees of the Welcomes
    below."""
    group_id = terms_of(1)["group_id"]
    of = lambda **change: Petition("bob", BOB, group_id=group_id, **change).message
    good = of()
    for why, message in [
        ("the_signature_of_the_leaf", of(signer=EVE)),
        ("the_signature_of_the_key_package", of(package_seed=EVE)),
        ("an_extension_that_its_capabilities_do_not_name", of(package_extensions=extension(0x0A0A, b""))),
        ("another_version_of_mls", of(version=2)),
        ("cut_short", good[:-1]),
        ("a_byte_more", good + b"\0"),
        ("without_an_mls_message_around_it", good[4:]),
        ("an_mls_message_of_another_kind", mls_message(3, good[4:])),
    ]:
        yield line("refused", what="key_package", why=why, error="KeyPackage", group_id=group_id, message=message)


def welcomes():
    """Welcomes for Bob of a host that does something else than M24 says."""

    def welcomed(why, error, change=None, form=None, extensions=None):
        room = Room()
        if change:
            change(room)
        room.let_in_bob(form)
        return line(
            "refused",
            what="welcome",
            why=why,
            error=error,
            message=room.welcome(room.bob, extensions(room) if extensions else None),
        )

    tree = lambda room: extension(2, ratchet_tree(room.group.leaves))
    newcomers = lambda room: extension(NEWCOMERS, room.newcomers())
    yield welcomed("no_law", "Law", extensions=tree)
    yield welcomed("no_tree", "Mls", extensions=newcomers)
    yield welcomed(
        "an_external_pub",
        "ForeignExtension",
        extensions=lambda room: tree(room) + newcomers(room) + extension(4, v(room.host.init_key)),
    )
    yield welcomed(
        "grease", "ForeignExtension", extensions=lambda room: tree(room) + newcomers(room) + extension(0x0A0A, b"")
    )

    # M11.
    required = extension(3, v(u16(6)) + v(u16(8)) + v(u16(1)))
    for why, error, form in [
        ("a_context_without_required_capabilities", "ForeignExtension", lambda value: extension(6, dictionary(value))),
        ("a_context_without_a_dictionary", "MalformedContext", lambda value: required),
        ("a_context_with_an_empty_dictionary", "MalformedContext", lambda value: required + extension(6, v(b""))),
        ("a_context_in_the_other_order", "ForeignExtension", lambda value: extension(6, dictionary(value)) + required),
        (
            "a_dictionary_with_an_entry_before",
            "ForeignExtension",
            lambda value: required + extension(6, v(u16(0xF50A) + v(b"x") + u16(COMPONENT) + v(value))),
        ),
        (
            "a_dictionary_with_an_entry_behind",
            "ForeignExtension",
            lambda value: required + extension(6, v(u16(COMPONENT) + v(value) + u16(0xF50D) + v(b"x"))),
        ),
        (
            "a_dictionary_of_another_component",
            "ForeignExtension",
            lambda value: required + extension(6, dictionary(value, 0xF50D)),
        ),
        (
            "other_required_capabilities",
            "ForeignExtension",
            lambda value: extension(3, v(u16(6)) + v(b"") + v(u16(1))) + extension(6, dictionary(value)),
        ),
        (
            "a_context_of_version_1",
            "MalformedContext",
            lambda value: required + extension(6, dictionary(b"\1" + value[1:])),
        ),
        ("a_context_of_48_bytes", "MalformedContext", lambda value: required + extension(6, dictionary(value[:-1]))),
        ("a_context_of_50_bytes", "MalformedContext", lambda value: required + extension(6, dictionary(value + b"\0"))),
    ]:
        yield welcomed(why, error, form=form)

    # M1: ids.
    def named(name):
        return lambda room: setattr(room.group, "group_id", name(room))

    yield welcomed("another_room", "OtherGroup", named(lambda room: fill("other room", 32) + bytes(16)))
    yield welcomed("a_group_id_of_32_bytes", "OtherGroup", named(lambda room: room.group_id))
    yield welcomed("a_group_id_of_49_bytes", "OtherGroup", named(lambda room: room.mls_id + b"\0"))

    # M6 to M8, 14.10: Eve is in the tree already.
    def with_eve(seed=EVE, **change):
        return lambda room: room.group.leaves.append(Petition("eve", seed, group_id=room.group_id, **change).leaf)

    lists = lambda *each: b"".join(v(one) for one in each)
    ordinary = [u16(1), u16(1), u16(6), u16(8), u16(1)]
    for at, name in enumerate(("version", "cipher_suite", "extension", "proposal", "credential")):
        greased = list(ordinary)
        greased[at] += u16(0x0A0A)
        yield welcomed(f"a_leaf_with_grease_as_a_{name}", "ForeignExtension", with_eve(caps=lists(*greased)))
    yield welcomed(
        "a_leaf_that_names_one_capability_twice",
        "ForeignExtension",
        with_eve(caps=lists(u16(1), u16(1), u16(6) * 2, u16(8), u16(1))),
    )
    yield welcomed("a_leaf_with_another_suite_too", "ForeignExtension", with_eve(caps=capabilities(1, u16(3))))
    low, high = lifetime(MADE)
    for why, times in [
        ("begins_a_second_early", (low - 1, high)),
        ("begins_a_second_late", (low + 1, high)),
        ("ends_a_second_late", (low, high + 1)),
        ("has_no_end", (0, 2**64 - 1)),
    ]:
        yield welcomed(f"a_leaf_whose_lifetime_{why}", "Lifetime", with_eve(lifetime=times))
    other = dict(group_id=fill("other room", 32))
    for why, change in [
        ("of_version_1", dict(version=1)),
        ("of_another_room", other),
        ("signed_by_another", dict(signer=BOB)),
    ]:
        yield welcomed(f"a_credential_{why}", "Credential", with_eve(credential=change))
    for why, name in [
        ("with_a_line_feed", b"E\nve"),
        ("of_65_bytes", b"E" * 65),
        ("of_no_bytes", b""),
        ("that_turns_the_text", "\u202eevE".encode()),
        ("that_is_no_utf_8", b"E\xff"),
    ]:
        yield welcomed(f"a_name_{why}", "Credential", with_eve(name=name))
    yield welcomed("an_identity_key_that_is_the_leaf_key", "Credential", with_eve(seed=fill("leaf eve 1", 32)))
    yield welcomed("an_identity_with_two_leaves", "Duplicate", with_eve(seed=HOST))

    good = Room()
    good.let_in_bob()
    message = good.welcome(good.bob)
    yield line(
        "refused",
        what="welcome",
        why="for_another",
        error="NotForUs",
        message=good.welcome(Petition("carol", CAROL, group_id=good.group_id)),
    )
    yield line("refused", what="welcome", why="cut_short", error="Malformed", message=message[:-1])
    yield line("refused", what="welcome", why="a_byte_more", error="Malformed", message=message + b"\0")
    yield line(
        "refused",
        what="welcome",
        why="a_bit_of_the_group_info",
        error="Mls",
        message=message[:-1] + bytes([message[-1] ^ 1]),
    )


def commits():
    """Commits of the host in the epoch that Bob entered by the Welcome of the story (suite 1)."""
    room = Room()
    room.let_in_bob()
    base, held = room.group, room.context()
    added = room.grant(CAROL)
    aad, value = authenticated(MADE + 78_000, [added[1]]), room.context()
    required = extension(3, v(u16(6)) + v(u16(8)) + v(u16(1)))

    def fresh(**change):
        group = object.__new__(Group)
        group.__dict__.update(base.__dict__, generations={}, **change)
        return group

    def refused(why, error, proposals=(update(value),), extensions=None, aad=aad, tag=None, **change):
        after = context_extensions(value) if extensions is None else extensions
        message = fresh(**change).commit(aad, list(proposals), base.leaves, after, fill("guard", 4), tag)[0]
        return line("refused", what="commit", why=why, error=error, message=message)

    message = fresh().commit(aad, [update(value)], base.leaves, context_extensions(value), fill("guard", 4))[0]
    yield line("refused", what="commit", why="cut_short", error="Malformed", message=message[:-1])
    yield line("refused", what="commit", why="a_byte_more", error="Malformed", message=message + b"\0")
    yield line(
        "refused",
        what="commit",
        why="a_bit_turned",
        error="Undecryptable",
        message=message[:-1] + bytes([message[-1] ^ 1]),
    )
    yield refused("another_group", "OtherGroup", group_id=fill("other room", 48))
    yield refused("the_epoch_before", "Stale", epoch=0)
    yield refused("a_later_epoch", "Future", epoch=2)
    yield refused("a_signature_of_another_key", "Undecryptable", seed=EVE)
    ahead = fresh(seed=EVE)
    ahead.generations[0, COMMIT] = 900
    message = ahead.commit(aad, [update(value)], base.leaves, context_extensions(value), fill("guard", 4))[0]
    yield line("refused", what="commit", why="a_signature_of_another_key_far_ahead", error="Undecryptable", message=message)
    yield refused("another_confirmation_tag", "BrokenCommit", tag=bytes(32))
    for why, data in [
        ("of_version_1", b"\1" + aad[1:]),
        ("cut_short", aad[:-1]),
        ("a_byte_more", aad + b"\0"),
        ("empty", b""),
        ("with_ids_that_descend", u8(2) + u64(MADE) + u16(2) + b"\2" * 32 + b"\1" * 32),
        ("with_an_id_twice", u8(2) + u64(MADE) + u16(2) + b"\1" * 64),
        ("with_fewer_ids_than_it_counts", u8(2) + u64(MADE) + u16(2) + bytes(32)),
    ]:
        yield refused(f"authenticated_data_{why}", "MalformedAad", aad=data)
    entry = u16(COMPONENT) + v(held)
    yield refused(
        "an_update_of_another_component",
        "ForeignExtension",
        [update(b"x", 0xF50D)],
        required + extension(6, v(entry + u16(0xF50D) + v(b"x"))),
    )
    for why, wrong in [
        ("of_48_bytes", value[:-1]),
        ("of_50_bytes", value + b"\0"),
        ("of_version_3", b"\3" + value[1:]),
    ]:
        yield refused(
            f"a_context_{why}", "MalformedContext", [update(wrong)], required + extension(6, dictionary(wrong))
        )
    yield refused(
        "the_context_removed", "MalformedContext", [u16(8) + u16(COMPONENT) + u8(2)], required + extension(6, v(b""))
    )
    group = fresh()
    yield line(
        "refused",
        what="commit",
        why="a_proposal_alone",
        error="ForeignProposal",
        message=group.proposal_alone(update(value), fill("guard", 4)),
    )
    group = fresh()
    yield line(
        "refused",
        what="commit",
        why="authenticated_data_of_a_saying",
        error="MalformedAad",
        message=group.say(word(0, 0, bytes(32)), fill("guard", 4), aad=b"x"),
    )
    framed = base.framed(3, aad, v(u8(1) + update(value)) + u8(0))
    yield line(
        "refused",
        what="commit",
        why="a_public_message_of_a_member",
        error="Malformed",
        message=mls_message(1, framed + v(base.signature(framed, 1)) + v(bytes(32)) + v(bytes(32))),
    )


HEADER = """\
# What MLS carries for a room, from the epoch secret to the first media key, and what is refused
# (spec/mls.md, spec/control.md 14.10 to 14.12). Written by `python3 tests/vectors/mls.py --write`,
# checked by the same script and by `cargo test`. Bob is whoever reads. Refused Welcomes are for his
# KeyPackage of suite 1; refused commits are of the epoch that he entered by it.
"""

if __name__ == "__main__":
    main(__doc__, "mls.txt", HEADER, list(lines()))
