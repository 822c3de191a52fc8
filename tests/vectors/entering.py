#!/usr/bin/env python3
"""What a newcomer makes of a Welcome a second time, from spec/room.md E4 to E8, LAW and MLS alone.

    python3 tests/vectors/entering.py             derives every value of entering.txt again
    python3 tests/vectors/entering.py --write     writes entering.txt anew, for a change of these
                                                  rules

Bob holds the KeyPackage of mls.txt (suite 1). Each case is a Welcome, the receipts that came for
it, each in the form of an answer's content, and what the invite and the doors said: the office, and
the least number of a table in it. A case that he enters by has the hashes of the epoch law and of
the joint law.
"""

from host import NEWCOMERS, Room, update
from law import law_of
from messages import receipt
from rfc9420 import add, extension, ratchet_tree
from room import BOB, CAROL, EVE, GROUP_ID, HOST, MADE, MODERATOR, SALT, Petition
from room import law_for_newcomers, law_hash, standing, table, tag
from shared import Form, fill, main, public

FORM = Form(numbers=["least"], texts=["why", "error"], lists=["receipts"])
SPEAKER, OUT, BAN = 3, 0, 0x81
TERM = fill("term of the moderator", 16)


def made(statement):
    """A table as room.py makes one, as (statement as shown, id)."""
    return statement["statement"], statement["id"]


def moderated(no=1):
    return made(
        table(HOST, GROUP_ID, no, public(HOST), moderators=[public(MODERATOR) + TERM + b"\0"])
    )


class Entering(Room):
    """A host that lets Bob in, and does what a case says."""

    def __init__(self, *before):
        super().__init__()
        self.statements += before

    def out_of(self, seed, by=HOST, term=None, n=2, word=OUT):
        return standing(by, term or self.group_id[:16], tag(seed), word, n, self.group_id)

    def known(self, said):
        """The hash of the law of these statements."""
        shown = [one[0] for one in self.statements + list(said)]
        live = law_of(self.group_id, SALT, public(HOST), shown, [])["live"]
        return law_hash(list(live))

    def receipt(self, said=(), seed=HOST, office=None, no=0, reference=None):
        office = office or self.group_id
        return receipt(seed, reference or self.bob.reference, office, no, [one[0] for one in said])


def lines():
    def case(topic, room, receipts, office=None, least=0, extensions=None, **more):
        values = dict(office=office or room.group_id, least=least)
        values |= dict(receipts=receipts) if receipts else {}
        message = room.welcome(room.bob, extensions)
        return FORM.line(topic, more | values | dict(message=message))

    def takes(why, room, receipts, said=(), **more):
        law = law_hash([one[1] for one in room.statements])
        return case("takes", room, receipts, why=why, law=law, known=room.known(said), **more)

    def refused(why, error, room, receipts, **more):
        return case("refused", room, receipts, why=why, error=error, **more)

    def entered(*before):
        room = Entering(*before)
        room.let_in_bob()
        return room

    room = entered()
    yield takes("a_receipt_that_puts_nobody_out", room, [room.receipt()])
    out = room.out_of(EVE)
    yield takes("a_receipt_with_a_removal", room, [room.receipt([out])], said=[out])
    ban = room.out_of(EVE, word=BAN, n=1)
    yield takes("a_receipt_with_a_ban", room, [room.receipt([ban])], said=[ban])
    other = fill("another KeyPackage", 32)
    yield takes("the_second_receipt_holds", room, [room.receipt(seed=CAROL), room.receipt()])
    room = entered(moderated())
    yield takes("a_receipt_of_a_moderator", room, [room.receipt(seed=MODERATOR, no=1)], least=1)
    out = room.out_of(EVE, MODERATOR, TERM)
    yield takes("a_receipt_of_a_moderator_with_a_removal", room, [room.receipt([out], MODERATOR)], said=[out])

    yield from laws(refused, entered)
    yield from senders(refused, entered)

    # E7.
    room = entered()
    good = room.receipt()
    yield refused("no_receipt", "NoReceipt", room, [])
    yield refused("a_receipt_for_another", "NoReceipt", room, [room.receipt(reference=other)])
    yield refused("a_receipt_with_a_bit_turned", "NoReceipt", room, [good[:-1] + bytes([good[-1] ^ 1])])
    yield refused("a_receipt_of_somebody_without_rank", "NoReceipt", room, [room.receipt(seed=CAROL)])
    yield refused("a_receipt_of_another_office", "NoReceipt", room, [room.receipt(office=fill("office", 32))])
    yield refused("a_receipt_of_a_later_table", "NoReceipt", room, [room.receipt(no=1)])
    room = entered(moderated())
    yield refused("a_receipt_of_the_table_after", "NoReceipt", room, [room.receipt(seed=MODERATOR, no=2)])
    without = made(table(HOST, GROUP_ID, 2, public(HOST)))
    room = entered(without)
    yield refused("a_receipt_of_a_former_moderator", "NoReceipt", room, [room.receipt(seed=MODERATOR, no=1)])

    # E8.
    room = Entering()
    eve = Petition("eve", EVE, group_id=room.group_id)
    room.group.leaves.append(eve.leaf)
    room.let_in_bob()
    yield refused("a_leaf_that_the_epoch_law_does_not_admit", "NotAdmitted", room, [room.receipt()])
    for why, word, n in [("removal", OUT, 2), ("ban", BAN, 1)]:
        room = Entering()
        room.grant(EVE)
        room.group.leaves.append(eve.leaf)
        room.let_in_bob()
        said = room.receipt([room.out_of(EVE, word=word, n=n)])
        yield refused(f"a_leaf_that_a_receipt_shows_a_{why}_of", "NotAdmitted", room, [said])


def laws(refused, entered):
    """E6: the statements of the Welcome are the live set, whose hash is in the context."""

    def shows(change):
        room = Entering()
        room.grant(CAROL)
        room.let_in_bob()
        shown = [one[0] for one in sorted(room.statements, key=lambda one: one[1])]
        law = law_for_newcomers(room.terms, change(room, shown))
        tree = extension(2, ratchet_tree(room.group.leaves))
        return room, [room.receipt()], tree + extension(NEWCOMERS, law)

    for why, change in [
        ("a_statement_is_missing", lambda room, shown: shown[1:]),
        ("a_statement_twice", lambda room, shown: shown + shown[-1:]),
        ("another_order", lambda room, shown: shown[::-1]),
        ("a_statement_with_a_bit_turned", lambda room, shown: [shown[0][:-1] + bytes([shown[0][-1] ^ 1])] + shown[1:]),
        ("a_statement_that_the_context_lacks", lambda room, shown: shown + [room.out_of(EVE)[0]]),
    ]:
        room, receipts, extensions = shows(change)
        yield refused(why, "Law", room, receipts, extensions=extensions)
    # The hash is of all that is shown, and one of them does not count any more.
    former = standing(HOST, GROUP_ID[:16], tag(CAROL), SPEAKER, 1, GROUP_ID)
    newer = standing(HOST, GROUP_ID[:16], tag(CAROL), OUT, 2, GROUP_ID)
    room = entered(former, newer)
    yield refused("a_statement_that_another_replaces", "Law", room, [room.receipt()])
    stranger = standing(CAROL, GROUP_ID[:16], tag(EVE), SPEAKER, 1, GROUP_ID)
    room = entered(stranger)
    yield refused("a_statement_of_somebody_without_rank", "Law", room, [room.receipt()])
    room = entered(moderated())
    yield refused("a_table_below_that_of_the_invite", "Law", room, [room.receipt()], least=2)


def senders(refused, entered):
    """E6: the keeper in the context signed the Welcome; the office is in the chain."""
    room = Entering()
    room.grant(CAROL)
    added = room.grant(BOB)
    context = room.context()
    room.context = lambda: context[:1] + tag(BOB) + context[17:]
    room.commit([added[1]], [add(room.bob.package), update(room.context())], MADE + 1000, [room.bob.leaf])
    yield refused("signed_by_another_than_the_keeper", "Keeping", room, [room.receipt()])
    room = entered()
    yield refused("an_office_that_is_not_in_the_chain", "HandOver", room, [room.receipt()], office=fill("office", 32))


HEADER = """\
# What a newcomer makes of a Welcome (spec/room.md E4 to E8). Bob has the KeyPackage of suite 1 in
# mls.txt. Written by `python3 tests/vectors/entering.py --write`, checked by the same script and by
# `cargo test`.
"""

if __name__ == "__main__":
    main(__doc__, "entering.txt", HEADER, list(lines()))
