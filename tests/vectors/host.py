"""The host of the story in `mls.py`, and what a room adds to MLS (spec/mls.md M11, M12, M24,
M28)."""

from derive import epoch_context, first_base_key
from rfc9420 import Group, add, derive_secret, expand_with_label, extension, ratchet_tree, v
from room import BOB, HOST, MADE, Petition, authenticated, context, law_for_newcomers, law_hash, standing, tag, terms_of
from shared import fill, sha256, u8, u16

COMPONENT, EXPORTER, NEWCOMERS = 0xF50B, 0xF50A, 0xF50C

# ---- M11, M12, M28 ---------------------------------------------------------------------------------------------------


def dictionary(value, component=COMPONENT):
    return v(u16(component) + v(value))


def context_extensions(value):
    return extension(3, v(u16(6)) + v(u16(8)) + v(u16(1))) + extension(6, dictionary(value))


def update(value, component=COMPONENT):
    return u16(8) + u16(component) + u8(1) + v(value)


def exporter(epoch_secret):
    """(root, secret of the component)."""
    node = root = derive_secret(epoch_secret, b"application_export")
    for bit in range(16):
        side = b"right" if EXPORTER >> (15 - bit) & 1 else b"left"
        node = expand_with_label(node, b"tree", side, 32)
    return root, node


# ---- the room --------------------------------------------------------------------------------------------------------


class Room:
    """The host's side. `change` names what it does wrong."""

    def __init__(self, suite=1):
        self.suite = suite
        terms = terms_of(suite)
        self.terms, self.group_id = terms["terms"], terms["group_id"]
        self.host = Petition("host", HOST, suite, group_id=self.group_id, name=b"Host")
        self.bob = Petition("bob", BOB, suite, group_id=self.group_id)
        self.mls_id = self.group_id + fill(f"branch {suite}", 16)
        self.statements = []
        self.group = Group(
            suite,
            self.mls_id,
            context_extensions(self.context()),
            self.host.leaf,
            self.host.leaf_seed,
            fill(f"first epoch {suite}", 32),
        )

    def context(self):
        return context(tag(HOST), law_hash([one[1] for one in self.statements]))

    def grant(self, seed):
        """The host says that somebody is a speaker."""
        self.statements.append(standing(HOST, self.group_id[:16], tag(seed), 3, 1, self.group_id))
        return self.statements[-1]

    def newcomers(self):
        return law_for_newcomers(self.terms, [one[0] for one in sorted(self.statements, key=lambda one: one[1])])

    def commit(self, ids, proposals, said, leaves=(), form=None):
        self.aad = authenticated(said, ids)
        extensions = (form or context_extensions)(self.context())
        message, self.group = self.group.commit(
            self.aad, proposals, self.group.leaves + list(leaves), extensions, fill(f"guard {said}", 4)
        )
        return message

    def let_in_bob(self, form=None):
        added = self.grant(BOB)
        return self.commit(
            [added[1]], [add(self.bob.package), update(self.context())], MADE + 1000, [self.bob.leaf], form
        )

    def welcome(self, petition, extensions=None):
        both = extension(2, ratchet_tree(self.group.leaves)) + extension(NEWCOMERS, self.newcomers())
        coins = [fill(f"coins welcome {self.suite}", 64 if self.suite == 0x4F else 32)]
        return self.group.welcome(
            [(petition.reference, petition.init_key)], both if extensions is None else extensions, coins
        )

    def epoch(self):
        group = self.group
        root, secret = exporter(group.epoch_secret)
        placed = epoch_context(self.group_id, group.epoch, group.authenticator)
        out = dict(
            suite=self.suite,
            group_id=self.group_id,
            mls_group_id=self.mls_id,
            epoch=group.epoch,
            leaves=group.leaves,
            context=self.context(),
        )
        out |= dict(
            extensions=v(group.extensions),
            group_context=group.context(),
            epoch_secret=group.epoch_secret,
            authenticator=group.authenticator,
        )
        out |= dict(
            branch=sha256(b"sottovoce 2 branch" + group.authenticator),
            application_export=root,
            exported=secret,
            epoch_context=placed,
        )
        return out | dict(
            sframe_suite=4,
            base_key=first_base_key(4, secret, placed),
            base_key_of_suite_5=first_base_key(5, secret, placed),
        )
