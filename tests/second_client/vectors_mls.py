"""The cases of mls.txt, read as Bob: from the epoch secret to the first media key."""

from cases import hx, lines, many, refused
from commits import commit_form, read_aad, write_aad
from context import room_ctx
from credential import Cred, life, read_key_package
from joining import check_roster
from leaves import CAPS, OwnKP, derive, expl
from media import base0, epoch_context
from primitives import Bad, KemKey, SigKey, sha256
from welcome import join


def exported(epoch_secret):
    root = x = derive(epoch_secret, b"application_export")
    for k in range(16):
        x = expl(x, b"tree", b"right" if 0xF50A >> (15 - k) & 1 else b"left", 32)
    return root, x


class Bob:
    """The reader of mls.txt: a KeyPackage, and the epoch that its Welcome leads to."""

    def __init__(self, d):
        self.gid = hx(d["group_id"])
        own = OwnKP.__new__(OwnKP)
        own.sigkey = SigKey(hx(d["leaf_seed"]))
        own.ik = KemKey(hx(d["init_private"]))
        own.ek = KemKey(hx(d["path_private"]))
        own.kp, self.cred = read_key_package(hx(d["message"]), self.gid)
        self.own = {own.kp.ref: own}
        self.keys = own
        self.good = own.kp.ref == hx(d["reference"]) and own.ik.pub == own.kp.ik
        self.group = self.newcomers = None

    def welcome(self, message):

        group, law = join(message, self.own, self.gid)
        check_roster(group, self.gid)
        return group, law

    def commit(self, message):

        c = self.group.copy().open(message)
        if c.ctype != 3:
            return None
        group, inf = self.group.stage(c)
        commit_form(inf, c.aad, self.roster(), self.gid)
        return group

    def roster(self):
        return {i: Cred(l.cred) for i, l in self.group.tree.roster().items()}


def mls():
    bob = None
    for topic, d in lines("mls"):
        if d.get("suite") == "79":
            continue
        if topic == "exporter":
            root, x = exported(hx(d["epoch_secret"]))
            yield root == hx(d["application_export"]) and x == hx(d["exported"])
        elif topic == "capabilities":
            yield CAPS == hx(d["bytes"])
        elif topic == "credential":
            leaf, identity = SigKey(hx(d["leaf_seed"])), SigKey(hx(d["seed"]))
            made = Cred.make(
                identity, hx(d["group_id"]), leaf.pub, d["name"].encode(), int(d["made"])
            )
            yield made == hx(d["credential"])
        elif topic == "lifetime":
            want = tuple(int(d[x], 16) for x in ("not_before", "not_after"))
            yield life(int(d["made"])) == want
        elif topic == "aad_bound":
            many_ids = [i.to_bytes(32, "big") for i in range(1, int(d["count"]) + 1)]
            made = write_aad(int(d["said_ms"]), many_ids)
            try:
                takes = read_aad(made) == (int(d["said_ms"]), many_ids)
            except Bad:
                takes = False
            yield sha256(made) == hx(d["hash"]) and takes == (d["takes"] == "1")
        elif topic == "aad":

            yield write_aad(int(d["said_ms"]), many(d["ids"])) == hx(d["bytes"])
        elif topic == "key_package":
            bob = Bob(d)
            yield bob.good and bob.cred.made == int(d["made"])
        elif topic == "welcome":
            group, newcomers = bob.welcome(hx(d["message"]))
            bob.group, bob.entered = group, group.copy()
            yield newcomers == hx(d["newcomers"])
        elif topic == "said":
            yield bob.group.open(hx(d["message"])).data == hx(d["saying"])
        elif topic == "commit":
            bob.group = bob.commit(hx(d["message"]))
            yield bob.group is not None
        elif topic == "epoch" and d["what"] != "founded" and d["group_id"] == bob.gid.hex():
            g = bob.group
            c = epoch_context(bob.gid, g.ctx.epoch, g.auth)
            yield (
                g.ctx.enc() == hx(d["group_context"])
                and g.auth == hx(d["authenticator"])
                and g.branch == hx(d["branch"])
                and g.export == hx(d["exported"])
                and room_ctx(g.ctx.ext) == hx(d["context"])
                and c == hx(d["epoch_context"])
                and base0(4, g.export, c) == hx(d["base_key"])
                and base0(5, g.export, c) == hx(d["base_key_of_suite_5"])
            )
        elif topic == "refused":
            message = hx(d["message"])
            if d["what"] == "key_package":
                refused(d["error"], read_key_package, message, hx(d["group_id"]))
            elif d["what"] == "welcome":
                refused(d["error"], bob.welcome, message)
            else:
                bob.group = bob.entered
                refused(d["error"], bob.commit, message)
            yield True
