"""The room of the vectors of the control lane and of MLS: its terms, its people, what it signs."""

import law
from generator import draw
from rfc9420 import KEMS, key_package, leaf_node, mls_message, ref_hash
from shared import fill, public, sha256, sign, u16, u32, u64, u8, v8

LANE_KEY = fill("lane key", 32)
SALT = fill("terms salt", 32)
HOST, MODERATOR, BOB, CAROL, EVE = (fill(f"identity {who}", 32) for who in ("host", "moderator", "bob", "carol", "eve"))
MADE = 1_790_000_000_123


def terms_of(suite):
    case = dict(
        salt=SALT, founder=public(HOST), name="Zoë's room".encode(), cipher_suite=suite, suite=4, authenticity=0
    )
    return law.terms(case | dict(packet_size=240, unattended=600, default_role=3, sound=0))


TERMS, GROUP_ID = terms_of(1)["terms"], terms_of(1)["group_id"]


def tag(seed):
    return law.tag_of(SALT, public(seed))


# ---- signed content (section 14.2) -----------------------------------------------------------------------------------


def signed(label, seed, content, bound=b"", group_id=GROUP_ID):
    return content + sign(seed, b"sottovoce 2 " + label + group_id + content + bound)


def standing(seed, term, about, word, n, group_id=GROUP_ID):
    """(statement as shown, id)."""
    made = law.standing(dict(seed=seed, group_id=group_id, term=term, about=about, word=word, n=n))
    return made["statement"], made["id"]


def table(seed, office, no, host, moderators=(), entries=(), floor=0):
    return law.table(
        dict(
            seed=seed,
            group_id=GROUP_ID,
            office=office,
            no=no,
            host=host,
            floor=floor,
            moderators=list(moderators),
            entries=list(entries),
        )
    )


def law_hash(ids):
    return sha256(b"sottovoce 2 law" + b"".join(sorted(ids)))


# ---- section 14.10, mls.md M6 to M9 ----------------------------------------------------------------------------------


def credential(seed, leaf_seed, name=b"Bob", made=MADE, group_id=GROUP_ID, version=2, signer=None):
    content = public(leaf_seed) + v8(name) + u64(made)
    signature = sign(signer or seed, b"sottovoce 2 leaf" + group_id + content)
    return u8(version) + public(seed) + v8(name) + u64(made) + signature


def lifetime(made):
    at = made // 1000
    return max(0, at - 3_628_800), min(2**64 - 1, at + 3_628_800)


class Petition:
    """A KeyPackage with every private key of it."""

    def __init__(self, who, seed, suite=1, made=MADE, group_id=GROUP_ID, name=b"Bob", label="", **change):
        label = label or f"{who} {suite}"
        self.leaf_seed = fill(f"leaf {label}", 32)
        kem = KEMS[suite]
        # The library draws both inputs of DeriveKeyPair from its generator (SPEC section 9); the
        # first draw wipes the seed.
        self.drawn_from = fill(f"generator {label}", 32)
        after, _ = draw(self.drawn_from, 1)
        after, self.init_input = draw(after, 32)
        _, self.path_input = draw(after, 32)
        self.init, self.path = kem.pair(self.init_input), kem.pair(self.path_input)
        self.init_key, self.path_key = kem.public(self.init), kem.public(self.path)
        self.init_private, self.path_private = kem.private_bytes(self.init), kem.private_bytes(self.path)
        given = change.pop("credential", {})
        identity = credential(seed, self.leaf_seed, name, made, **({"group_id": group_id} | given))
        package = {
            k: change.pop(k) for k in ("package_extensions", "version", "package_seed", "package_suite") if k in change
        }
        leaf_suite = change.pop("leaf_suite", suite)
        times = change.pop("lifetime", lifetime(made))
        self.leaf = leaf_node(self.leaf_seed, self.path_key, identity, leaf_suite, times, **change)
        body = key_package(
            package.get("package_seed", self.leaf_seed),
            self.init_key,
            self.leaf,
            package.get("package_suite", suite),
            package.get("package_extensions", b""),
            package.get("version", 1),
        )
        self.package, self.message = body, mls_message(5, body)
        self.reference = ref_hash(b"KeyPackage Reference", body)


def context(keeper, law, version=2):
    """Section 14.11."""
    return u8(version) + keeper + law


def authenticated(said, ids, version=2):
    return u8(version) + u64(said) + u16(len(ids)) + b"".join(sorted(ids))


def law_for_newcomers(terms, statements):
    return u16(len(terms)) + terms + u32(len(statements)) + b"".join(statements)
