"""As much of MLS (RFC 9420) as makes the groups of the vectors: commits without a path, welcomes,
messages.

Both cipher suites of a room have SHA-256, AES-128-GCM and Ed25519; they differ in the KEM.
"""

from shared import X25519, expand, extract, gcm, hpke_seal, mac, public, sha256, sign, u16, u32, u64, u8
from xwing import XWing

KEMS = {0x0001: X25519(), 0x004F: XWing()}
MEMBER, APPLICATION, COMMIT = 1, 1, 3


def v(data):
    """A vector <V> (section 2.1.2)."""
    size = len(data)
    if size < 64:
        return u8(size) + data
    return (u16(0x4000 | size) if size < 16384 else u32(0x80000000 | size)) + data


def optional(data):
    return u8(0) if data is None else u8(1) + data


# ---- section 5.1, 8: labels ------------------------------------------------------------------------------------------


def sign_with_label(seed, label, content):
    return sign(seed, v(b"MLS 1.0 " + label) + v(content))


def expand_with_label(secret, label, context, size):
    return expand(secret, u16(size) + v(b"MLS 1.0 " + label) + v(context), size)


def derive_secret(secret, label):
    return expand_with_label(secret, label, b"", 32)


def ref_hash(label, value):
    return sha256(v(b"MLS 1.0 " + label) + v(value))


# ---- sections 7 and 10: leaves and KeyPackages -----------------------------------------------------------------------


def capabilities(suite, extra=b""):
    return v(u16(1)) + v(u16(suite) + extra) + v(u16(6)) + v(u16(8)) + v(u16(1))


def leaf_node(
    seed, encryption_key, identity, suite, lifetime, source=None, caps=None, extensions=b"", signer=None, credential=1
):
    """`source` is (parent hash, group id, leaf index) of a leaf that comes with a path."""
    body = v(encryption_key) + v(public(seed)) + u16(credential) + v(identity) + (caps or capabilities(suite))
    if source is None:
        body += u8(1) + u64(lifetime[0]) + u64(lifetime[1])
    else:
        body += u8(3) + v(source[0])
    body += v(extensions)
    place = b"" if source is None else v(source[1]) + u32(source[2])
    return body + v(sign_with_label(signer or seed, b"LeafNodeTBS", body + place))


def key_package(seed, init_key, leaf, suite, extensions=b"", version=1):
    body = u16(version) + u16(suite) + v(init_key) + leaf + v(extensions)
    return body + v(sign_with_label(seed, b"KeyPackageTBS", body))


def mls_message(wire_format, body):
    return u16(1) + u16(wire_format) + body


# ---- section 7.8: hash of a tree whose parents are blank --------------------------------------------------------------


def tree_hash(leaves):
    """`leaves` has a power of two entries; None is a blank leaf."""
    level = [u8(1) + u32(i) + optional(leaf) for i, leaf in enumerate(leaves)]
    level = [sha256(one) for one in level]
    while len(level) > 1:
        level = [sha256(u8(2) + optional(None) + v(a) + v(b)) for a, b in zip(level[::2], level[1::2])]
    return level[0]


def ratchet_tree(leaves):
    nodes = []
    for i, leaf in enumerate(leaves):
        nodes += [optional(None if leaf is None else u8(1) + leaf), optional(None)]
    while nodes[-1] == optional(None):
        nodes.pop()
    return v(b"".join(nodes))


def full(leaves):
    size = 1
    while size < len(leaves):
        size *= 2
    return leaves + [None] * (size - len(leaves))


# ---- section 8: a group ----------------------------------------------------------------------------------------------


class Group:
    """One member's view, which knows every leaf of the tree; nobody makes an update path."""

    def __init__(self, suite, group_id, extensions, leaf, seed, epoch_secret):
        self.suite, self.group_id, self.epoch = suite, group_id, 0
        self.extensions, self.leaves, self.seed, self.own = extensions, [leaf], seed, 0
        self.confirmed = b""
        self.enter(epoch_secret)

    def context(self):
        return (
            u16(1)
            + u16(self.suite)
            + v(self.group_id)
            + u64(self.epoch)
            + v(tree_hash(full(self.leaves)))
            + v(self.confirmed)
            + v(self.extensions)
        )

    def enter(self, epoch_secret):
        self.epoch_secret = epoch_secret
        for name, label in [
            ("init", "init"),
            ("sender_data", "sender data"),
            ("encryption", "encryption"),
            ("confirmation", "confirm"),
            ("authenticator", "authentication"),
        ]:
            setattr(self, name, derive_secret(epoch_secret, label.encode()))
        self.confirmation_tag = mac(self.confirmation, self.confirmed)
        self.interim = sha256(self.confirmed + v(self.confirmation_tag))
        self.generations = {}

    def framed(self, content_type, aad, content):
        return v(self.group_id) + u64(self.epoch) + u8(MEMBER) + u32(self.own) + v(aad) + u8(content_type) + content

    def signature(self, framed, wire_format=2, seed=None):
        return sign_with_label(
            seed or self.seed, b"FramedContentTBS", u16(1) + u16(wire_format) + framed + self.context()
        )

    def ratchet(self, content_type):
        """Section 9: (key, nonce, generation) of the sender's next message."""
        secret, low, high = self.encryption, 0, len(full(self.leaves))
        while high - low > 1:
            middle = (low + high) // 2
            secret = expand_with_label(secret, b"tree", b"left" if self.own < middle else b"right", 32)
            low, high = (low, middle) if self.own < middle else (middle, high)
        secret = expand_with_label(secret, b"application" if content_type == APPLICATION else b"handshake", b"", 32)
        generation = self.generations.get((self.own, content_type), 0)
        self.generations[self.own, content_type] = generation + 1
        for n in range(generation):
            secret = expand_with_label(secret, b"secret", u32(n), 32)
        key = expand_with_label(secret, b"key", u32(generation), 16)
        return key, expand_with_label(secret, b"nonce", u32(generation), 12), generation

    def private_message(self, content_type, aad, content, auth, guard, padding=b""):
        """Section 6.3."""
        key, nonce, generation = self.ratchet(content_type)
        nonce = bytes(a ^ b for a, b in zip(nonce, guard)) + nonce[4:]
        place = v(self.group_id) + u64(self.epoch) + u8(content_type)
        text = gcm(key, nonce, content + auth + padding, place + v(aad))
        sample = text[:32]
        key = expand_with_label(self.sender_data, b"key", sample, 16)
        nonce = expand_with_label(self.sender_data, b"nonce", sample, 12)
        sender = gcm(key, nonce, u32(self.own) + u32(generation) + guard, place)
        return mls_message(2, place + v(aad) + v(sender) + v(text))

    def say(self, content, guard, aad=b"", padding=b""):
        signature = self.signature(self.framed(APPLICATION, aad, v(content)))
        return self.private_message(APPLICATION, aad, v(content), v(signature), guard, padding)

    def proposal_alone(self, proposal, guard):
        framed = self.framed(2, b"", proposal)
        return self.private_message(2, b"", proposal, v(self.signature(framed)), guard)

    def commit(self, aad, proposals, leaves, extensions, guard, tag=None, path=None):
        """The commit, and the group in the next epoch. `leaves` and `extensions` are those after
        it."""
        content = v(b"".join(u8(1) + one for one in proposals)) + optional(path)
        framed = self.framed(COMMIT, aad, content)
        signature = self.signature(framed)
        after = object.__new__(Group)
        after.__dict__.update(self.__dict__, leaves=leaves, extensions=extensions, epoch=self.epoch + 1)
        after.confirmed = sha256(self.interim + u16(2) + framed + v(signature))
        after.joiner_secret = expand_with_label(extract(self.init, bytes(32)), b"joiner", after.context(), 32)
        member = extract(after.joiner_secret, bytes(32))
        after.welcome_secret = derive_secret(member, b"welcome")
        after.enter(expand_with_label(member, b"epoch", after.context(), 32))
        auth = v(signature) + v(tag or after.confirmation_tag)
        return self.private_message(COMMIT, aad, content, auth, guard), after

    def welcome(self, invited, extensions, coins, context=None):
        """Section 12.4.3.1. `invited` has (KeyPackageRef, init key) of each; `coins` the coins of
        each."""
        info = (context or self.context()) + v(extensions) + v(self.confirmation_tag) + u32(self.own)
        info += v(sign_with_label(self.seed, b"GroupInfoTBS", info))
        key = expand_with_label(self.welcome_secret, b"key", b"", 16)
        sealed = gcm(key, expand_with_label(self.welcome_secret, b"nonce", b"", 12), info)
        secrets = v(self.joiner_secret) + optional(None) + v(b"")
        out = b""
        for (reference, init_key), random in zip(invited, coins):
            enc, text = hpke_seal(init_key, random, v(b"MLS 1.0 Welcome") + v(sealed), b"", secrets, KEMS[self.suite])
            out += v(reference) + v(enc) + v(text)
        return mls_message(3, u16(self.suite) + v(out) + v(sealed))


def extension(number, data):
    return u16(number) + v(data)


def add(package):
    return u16(1) + package


def remove(leaf):
    return u16(3) + u32(leaf)
