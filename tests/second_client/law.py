"""The law of a room (spec/law.md): statements, and who is host, admitted, heard, muted and banned.

`Law` is the function of section 4. `Set` is a set of statements by id.
"""

from primitives import R, Bad, fingerprint, hmac256, name_ok, sha256, u8, u16, u64, v8, v32, verify

WORDS_ROLE = {0, 1, 2, 3, 17, 18, 19}

WORDS_BAN = {128, 129}

STRICT = {3: 0, 19: 1, 2: 2, 18: 3, 1: 4, 17: 5, 0: 6, 128: 0, 129: 1}

ZERO32 = bytes(32)


class Terms:

    def __init__(self, b):
        r = R(b)
        self.raw = bytes(b)
        version = r.u8()
        if version not in (2, 3):
            raise Bad("terms version")
        self.salt = r.take(32)
        self.founder = r.take(32)
        self.name = r.v8()
        self.suite = r.u16()
        self.sframe = r.u16()
        self.auth = r.u8()
        self.size = r.u16()
        self.unattended = r.u16()
        self.role = r.u8()
        self.sound = r.u8() if version == 3 else 0
        r.end()
        if (
            self.founder == ZERO32
            or not name_ok(self.name)
            or self.suite not in (1, 79)
            or (self.sframe not in (4, 5))
            or (self.auth > 1)
            or (not 16 <= self.size <= 1000)
            or (self.unattended < 60)
            or (self.role not in (2, 3))
            or (version == 3 and (self.sound not in (1, 2) or self.size != 400))
        ):
            raise Bad("terms")
        self.group_id = sha256(b"sottovoce 2 terms" + b)

    @staticmethod
    def make(salt, founder, name, suite=1, sframe=4, auth=0, size=240, unattended=600, role=3, sound=0):
        return Terms(
            u8(3 if sound else 2)
            + salt
            + founder
            + v8(name)
            + u16(suite)
            + u16(sframe)
            + u8(auth)
            + u16(size)
            + u16(unattended)
            + u8(role)
            + (u8(sound) if sound else b"")
        )

    def tag_fp(self, fp):
        return hmac256(self.salt, b"sottovoce 2 tag" + fp)[:16]

    def tag(self, key):
        return self.tag_fp(fingerprint(key))

    def invite_tag(self, id, expiry, uses):
        return hmac256(self.salt, b"sottovoce 2 invite" + id + u64(expiry) + u16(uses))[:16]


class Standing:
    kind = 0

    def __init__(self, b, gid):
        if len(b) != 133:
            raise Bad("standing length")
        self.content, self.sig = (b[:69], b[69:])
        self.issuer, self.term, self.about, self.word, self.n = (
            b[:32],
            b[32:48],
            b[48:64],
            b[64],
            int.from_bytes(b[65:69], "big"),
        )
        if self.word not in WORDS_ROLE and self.word not in WORDS_BAN:
            raise Bad("word")
        self.reg = 1 if self.word >= 128 else 0
        self.id = sha256(b"sottovoce 2 standing id" + gid + self.content)
        self.full = True

    def shown(self, bare=False):
        return b"\x00" + self.content + self.sig

    def holds(self, gid):
        return verify(self.issuer, self.sig, b"sottovoce 2 standing" + gid + self.content)

    def prec(self):
        return (self.n, STRICT[self.word], tuple((255 - x for x in self.id)))


class Table:

    def __init__(self, b, gid, rest=None):
        if len(b) != 200:
            raise Bad("table length")
        self.content, self.sig = (b[:136], b[136:])
        self.signer, self.office, self.no, self.host, self.rh = (
            b[:32],
            b[32:64],
            int.from_bytes(b[64:72], "big"),
            b[72:104],
            b[104:136],
        )
        self.id = sha256(b"sottovoce 2 table id" + gid + self.content)
        self.rest = rest
        self.full = rest is not None
        self.handover = self.host != self.signer
        if rest is not None:
            if sha256(rest) != self.rh:
                raise Bad("rest hash")
            r = R(rest)
            self.floor = r.u32()
            self.mods = {}
            self.entries = {}
            last = b""
            n = r.u8()
            if n > 16:
                raise Bad("mods")
            for _ in range(n):
                k, t, m = (r.take(32), r.take(16), r.u8())
                if k <= last or k == self.host or k == ZERO32 or (t == bytes(16)) or (m > 1):
                    raise Bad("mod")
                last = k
                self.mods[k] = (t, m)
            n = r.u16()
            last = b""
            if n > 4096:
                raise Bad("entries")
            for _ in range(n):
                t, role, nn, ban, bn = (r.take(16), r.u8(), r.u32(), r.u8(), r.u32())
                if last and t <= last or role not in WORDS_ROLE or ban > 1:
                    raise Bad("entry")
                last = t
                self.entries[t] = (role, nn, ban, bn)
            r.end()

    @property
    def kind(self):
        return 2 if self.full else 1

    def bare(self):
        return b"\x01" + self.content + self.sig

    def shown(self, bare=False):
        return (
            self.bare() if bare or not self.full else b"\x02" + self.content + self.sig + self.rest
        )

    def holds(self, gid):
        return verify(self.signer, self.sig, b"sottovoce 2 table" + gid + self.content)


def parse(b, gid):
    if not b:
        raise Bad("empty")
    k = b[0]
    if k == 0:
        return Standing(b[1:], gid)
    if k == 1:
        return Table(b[1:], gid)
    if k == 2:
        if len(b) < 201:
            raise Bad("short")
        return Table(b[1:201], gid, b[201:])
    raise Bad("kind")


def read_list(r):
    out = []
    n = r.u16()
    if n > 32768:
        raise Bad("list")
    for _ in range(n):
        s = r.v32(262144)
        if len(s) < 64:
            raise Bad("list")
        out.append(s)
    return out


def write_list(l):
    return u16(len(l)) + b"".join((v32(x) for x in l))


class Set:
    """id -> statement; a table with its rest replaces one without"""

    def __init__(self, it=()):
        self.d = {}
        for x in it:
            self.add(x)

    def add(self, x):
        o = self.d.get(x.id)
        if o is None or (x.full and (not o.full)):
            self.d[x.id] = x
            return True
        return False

    def __iter__(self):
        return iter(self.d.values())

    def copy(self):
        n = Set()
        n.d = dict(self.d)
        return n

    def __contains__(self, id):
        return id in self.d

    def __len__(self):
        return len(self.d)


class Law:

    def __init__(self, terms, stmts, pins=(), gid=None, start=None):
        self.terms = terms
        gid = self.gid = gid or terms.group_id
        S = list(stmts)
        pins = set(pins)
        tables = [x for x in S if isinstance(x, Table)]
        by = {}
        for t in tables:
            by.setdefault((t.signer, t.office), []).append(t)
        cc = {}

        def counts(t):
            if t.id in cc:
                return cc[t.id]
            cc[t.id] = False
            if t.full:
                r = True
            elif not t.handover:
                r = False
            elif t.host == ZERO32:
                r = True
            else:
                r = any((counts(x) for x in by.get((t.host, t.id), [])))
            cc[t.id] = r
            return r

        host, office = start or (terms.founder, gid)
        T = None
        chain = []
        self.over = False
        ct = []
        while True:
            H = [t for t in by.get((host, office), []) if t.handover and counts(t)]
            if len(chain) >= 1024:
                H = [t for t in H if t.host == ZERO32]
            if not H:
                break
            p = [t for t in H if t.id in pins]
            T = p[0] if p else min(H, key=lambda t: t.id)
            chain.append(T.id)
            ct.append(T)
            host = T.host
            office = T.id
            if host == ZERO32:
                self.over = True
                break
        self.chain = chain
        self.chain_tables = ct
        self.host = host
        self.office = office
        self.said = []
        self.T = T
        self.second = {}
        if self.over:
            self.mods = {}
            self.live = list(ct)
            self._finish()
            return
        N = [t for t in by.get((host, office), []) if not t.handover and t.full]
        if N:
            m = max((t.no for t in N))
            T = min((t for t in N if t.no == m), key=lambda t: t.id)
        self.T = T
        self.mods = dict(T.mods) if T and T.full else {}
        self.floor = T.floor if T and T.full else 0
        self.entries = T.entries if T and T.full else {}
        self.no = max([t.no for t in N] or [0])
        said = {}
        for x in S:
            if not isinstance(x, Standing):
                continue
            if x.term != self.term(x.issuer):
                continue
            b = self.base(x.about)
            b = b[3] if x.reg else b[1]
            if not b < x.n <= b + 4096:
                continue
            k = (x.issuer, x.about, x.reg)
            if k not in said or x.prec() > said[k].prec():
                said[k] = x
        tags = {}
        for i, a, r in said:
            tags.setdefault((i, r), set()).add(a)
        keep = {i: set(sorted(t)[:256]) for i, t in tags.items()}
        self.said = [x for (i, a, r), x in said.items() if a in keep[i, r]]
        self.by_tag = {}
        for x in self.said:
            self.by_tag.setdefault(x.about, []).append(x)
        live = {t.id: t for t in ct}
        if T is not None:
            live[T.id] = T
        for x in self.said:
            live[x.id] = x
        self.live = list(live.values())
        self._finish()

    def _finish(self):
        self.ids = sorted((x.id for x in self.live))
        self.hash = sha256(b"sottovoce 2 law" + b"".join(self.ids))
        self.hosttag = self.terms.tag(self.host) if self.terms and (not self.over) else None
        self.modtags = {self.terms.tag(k): k for k in self.mods} if self.terms else {}
        if self.over:
            self.by_tag = {}
            self.entries = {}
            self.floor = 0
            self.no = 0

    def live_shown(self):
        """in the form of L10, ascending by id; handovers bare unless T"""
        out = []
        for x in sorted(self.live, key=lambda x: x.id):
            out.append(x.shown(bare=isinstance(x, Table) and x is not self.T or self.over))
        return out

    def live_set(self):
        out = Set()
        for b in self.live_shown():
            out.add(parse(b, self.gid))
        return out

    def term(self, key):
        if self.over:
            return None
        if key == self.host:
            return self.office[:16]
        if key in self.mods:
            return self.mods[key][0]
        return None

    def base(self, tag):
        return self.entries.get(tag, (0, self.floor, 0, self.floor))

    def rank(self, key):
        if self.over:
            return 0
        return 2 if key == self.host else 1 if key in self.mods else 0

    def ranktag(self, tag):
        return 2 if tag == self.hosttag else 1 if tag in self.modtags else 0

    def role(self, tag):
        if self.over:
            return 0
        if tag == self.hosttag:
            return 3
        if tag in self.modtags:
            return 19 if self.mods[self.modtags[tag]][1] else 3
        return self.raw_role(tag)

    def raw_role(self, tag):
        w = [x for x in self.by_tag.get(tag, []) if x.reg == 0]
        return max(w, key=lambda x: x.prec()).word if w else self.base(tag)[0]

    def has_role_word(self, tag):
        return tag in self.entries or any((x.reg == 0 for x in self.by_tag.get(tag, [])))

    def h(self, tag):
        for x in self.by_tag.get(tag, []):
            if x.reg == 1 and x.issuer == self.host:
                return (x.word == 129, x.n)
        b = self.base(tag)
        return (bool(b[2]), b[3])

    def banned(self, tag):
        if self.over:
            return False
        if self.ranktag(tag):
            return False
        hb, hn = self.h(tag)
        return hb or any(
            (
                x.reg == 1 and x.issuer != self.host and (x.word == 129) and (x.n > hn)
                for x in self.by_tag.get(tag, [])
            )
        )

    def admitted(self, tag):
        if self.over:
            return False
        return self.ranktag(tag) > 0 or (self.role(tag) != 0 and (not self.banned(tag)))

    def heard(self, tag):
        return self.admitted(tag) and self.role(tag) & 15 == 3

    def muted(self, tag):
        return bool(self.role(tag) & 16)

    def locked(self):
        return self.banned(bytes(16))
