"""Media keys, SFrame, Opus framing, sealing and opening (spec/media.md sections 3 to 5)."""

import hashlib
import time

from primitives import Bad, gcm_open, gcm_seal, hkdf_expand, hkdf_extract, hmac256, sha256
from primitives import u8, u16, u32, u64, verify

HK = {4: hashlib.sha256, 5: hashlib.sha512}

NH = {4: 32, 5: 64}

NK = {4: 16, 5: 32}


def epoch_context(gid, epoch, auth):
    return sha256(b"sottovoce 1 epoch" + u64(len(gid)) + gid + u64(epoch) + u64(len(auth)) + auth)


def base0(suite, es, ctx):
    return hkdf_expand(
        hkdf_extract(b"", es, HK[suite]),
        b"sottovoce 1 base" + ctx + u16(suite),
        NH[suite],
        HK[suite],
    )


class Step:

    def __init__(self, suite, i, base):
        self.suite, self.i = (suite, i)
        self.h = HK[suite]
        self.secret = hkdf_extract(b"", base, self.h)
        self.next = hkdf_expand(self.secret, b"SFrame 1.0 Ratchet", NH[suite], self.h)
        self.kk = hkdf_expand(self.secret, b"sottovoce 1 kid", 32, self.h)
        self.kids = {}
        self.keys = {}

    def assign(self, leaves):
        taken = set()
        for l in sorted(leaves):
            for n in range(256):
                k = (
                    2147483648
                    | int.from_bytes(hmac256(self.kk, u32(l) + u8(n))[:4], "big") & 2147483644
                    | self.i % 4
                )
                if k not in taken:
                    break
            else:
                self.kids = {}
                return {}
            taken.add(k)
            self.kids[l] = k
        self.leaf = {k: l for l, k in self.kids.items()}
        return self.kids

    def key(self, kid):
        if kid not in self.keys:
            k = hkdf_expand(
                self.secret,
                b"SFrame 1.0 Secret key " + u64(kid) + u16(self.suite),
                NK[self.suite],
                self.h,
            )
            b = hkdf_expand(
                self.secret, b"SFrame 1.0 Secret salt " + u64(kid) + u16(self.suite), 32, self.h
            )
            self.keys[kid] = (k, b[:12], b[12:])
        return self.keys[kid]


def nonce(salt, ctr):
    return (int.from_bytes(salt, "big") ^ ctr).to_bytes(12, "big")


def enc_header(kid, ctr):

    def f(v):
        if v < 8:
            return (v, b"")
        b = v.to_bytes((v.bit_length() + 7) // 8, "big")
        return (8 | len(b) - 1, b)

    a, x = f(kid)
    c, y = f(ctr)
    return bytes([a << 4 | c]) + x + y


def dec_header(b):
    if not b:
        raise Bad("malformed")
    i = 1
    out = []
    for q in (b[0] >> 4, b[0] & 15):
        if q < 8:
            out.append(q)
            continue
        n = (q & 7) + 1
        x = b[i : i + n]
        i += n
        if len(x) < n or (n > 1 and x[0] == 0) or (n == 1 and x[0] < 8):
            raise Bad("malformed")
        out.append(int.from_bytes(x, "big"))
    return (out[0], out[1], i)


def _flen(b, i):
    if i >= len(b):
        raise Bad("not_opus")
    if b[i] < 252:
        return (b[i], i + 1)
    if i + 1 >= len(b):
        raise Bad("not_opus")
    return (b[i] + 4 * b[i + 1], i + 2)


def dur48(toc):
    c = toc >> 3
    if c < 12:
        return (480, 960, 1920, 2880)[c & 3]
    if c < 16:
        return (480, 960)[c & 1]
    return (120, 240, 480, 960)[c & 3]


def parse_opus(b):
    """-> (frames, vbr, padding bytes count, start of body after pad lengths)"""
    if not b:
        raise Bad("not_opus")
    code = b[0] & 3
    if code == 0:
        fr = [b[1:]]
        pad = 0
        vbr = 0
        st = 1
    elif code == 1:
        if (len(b) - 1) % 2:
            raise Bad("not_opus")
        h = (len(b) - 1) // 2
        fr = [b[1 : 1 + h], b[1 + h :]]
        pad = 0
        vbr = 0
        st = 1
    elif code == 2:
        n, i = _flen(b, 1)
        if i + n > len(b):
            raise Bad("not_opus")
        fr = [b[i : i + n], b[i + n :]]
        pad = 0
        vbr = 1
        st = 1
    else:
        if len(b) < 2:
            raise Bad("not_opus")
        m = b[1] & 63
        vbr = b[1] >> 7
        i = 2
        pad = 0
        if not m or m * dur48(b[0]) > 5760:
            raise Bad("not_opus")
        if b[1] & 64:
            while True:
                if i >= len(b):
                    raise Bad("not_opus")
                x = b[i]
                i += 1
                if x == 255:
                    pad += 254
                else:
                    pad += x
                    break
        st = i
        end = len(b) - pad
        if end < i:
            raise Bad("not_opus")
        if vbr:
            ls = []
            for _ in range(m - 1):
                n, i = _flen(b[:end], i)
                ls.append(n)
            last = end - i - sum(ls)
            if last < 0:
                raise Bad("not_opus")
            ls.append(last)
            fr = []
            for n in ls:
                fr.append(b[i : i + n])
                i += n
        else:
            if (end - i) % m:
                raise Bad("not_opus")
            n = (end - i) // m
            fr = [b[i + k * n : i + (k + 1) * n] for k in range(m)]
    if any((len(f) > 1275 for f in fr)):
        raise Bad("not_opus")
    return (fr, vbr, pad, st)


def pad_opus(b, size, fill=0):
    fr, vbr, pad, st = parse_opus(b)
    if len(b) > size:
        raise Bad("too large")
    if len(b) == size:
        return b
    toc = b[0] | 3
    cnt = len(fr) | (128 if vbr else 0)
    body = b[st : len(b) - pad]
    oldpad = b[len(b) - pad :] if pad else b""
    need = size - 2 - len(body)
    if need == 0:
        return bytes([toc, cnt]) + body
    for n in range(1, 9):
        q = need - n
        if 254 * (n - 1) <= q <= 254 * n:
            break
    else:
        raise Bad("pad")
    if q < pad:
        raise Bad("pad")
    return (
        bytes([toc, cnt | 64])
        + b"\xff" * (n - 1)
        + bytes([q - 254 * (n - 1)])
        + body
        + oldpad
        + bytes([fill]) * (q - pad)
    )


def signed_plain(opus, size, captured, level, notes):
    p = pad_opus(opus, size, 1)
    pad = parse_opus(p)[2]
    old = parse_opus(opus)[2]
    if pad - old < 73:
        raise Bad("no room for the tail")
    return p[:-73] + b"\xc2" + captured.to_bytes(6, "big") + bytes([level, notes])


def speaker_context(ctx, leaf, pub):
    return sha256(b"sottovoce 1 speaker" + ctx + u32(leaf) + pub)


def frame_msg(sctx, step, kid, ctr, ckey, body):
    salt = hmac256(ckey, u64(ctr))[:16]
    return b"sottovoce 1 frame" + sctx + u32(step) + u64(kid) + u64(ctr) + sha256(salt + body)


class MediaEpoch:
    """the key schedule of one epoch"""

    def __init__(self, terms, epoch, auth, export, speakers, muted, ids, me, t0):
        self.terms = terms
        self.suite = terms.sframe
        self.epoch = epoch
        self.ctx = epoch_context(terms.group_id, epoch, auth)
        self.speakers = sorted(speakers)
        self.muted = set(muted)
        self.ids = ids
        self.me = me
        self.t0 = t0
        self.steps = {}
        self._b = base0(self.suite, export, self.ctx)
        self._mk(0)
        self._mk(1)
        self.cur = 0
        self.pub = {}
        self.removed = set()
        self.win = {}

    def _mk(self, i):
        st = Step(self.suite, i, self._b)
        self._b = st.next
        st.assign(self.speakers)
        self.steps[i] = st
        st.win = {}

    def forward(self, ms):
        mine = (time.time() - self.t0) * 1000
        if ms > mine:
            self.t0 -= min(ms - mine, 60000) / 1000

    def tick(self, now):
        i = int((now - self.t0) / 10)
        while self.cur < i:
            self.cur += 1
            self._mk(self.cur + 1)
        dead = [
            k
            for k in self.steps
            if k < self.cur - 1 or (k < self.cur and now - self.t0 - 10 * self.cur >= 2)
        ]
        for k in dead:
            del self.steps[k]

    def find(self, kid):
        for st in self.steps.values():
            if kid in getattr(st, "leaf", {}):
                return (st, st.leaf[kid])
        return None

    def open(self, pkt, st, leaf, kid, ctr, hl):
        if leaf in self.removed:
            raise Bad("removed")
        if leaf == self.me:
            raise Bad("own")
        if leaf in self.muted:
            raise Bad("muted")
        signed = self.terms.auth == 0
        if signed and leaf not in self.pub:
            raise Bad("unknown_speaker")
        if len(pkt) < hl + 16:
            raise Bad("malformed")
        hi, seen = st.win.get(kid, (0, set()))
        if ctr in seen:
            raise Bad("replayed")
        if ctr + 1023 < hi:
            raise Bad("too_old")
        key, salt, ck = st.key(kid)
        try:
            pt = gcm_open(key, nonce(salt, ctr), pkt[hl:], pkt[:hl])
        except Bad:
            raise Bad("forged")
        info = None
        if signed:
            if len(pt) < 73 or pt[-73] != 194 or pt[-65] & 120:
                raise Bad("unsigned")
            sctx = speaker_context(self.ctx, leaf, self.pub[leaf])
            if not verify(self.pub[leaf], pt[-64:], frame_msg(sctx, st.i, kid, ctr, ck, pt[:-64])):
                raise Bad("unsigned")
            info = (int.from_bytes(pt[-72:-66], "big"), pt[-66], pt[-65])
        fr, _, pad, _ = parse_opus(pt)
        if signed and pad < 73:
            raise Bad("unsigned")
        if len(pt) != self.terms.size:
            raise Bad("wrong_size")
        hi = max(hi, ctr)
        seen.add(ctr)
        if len(seen) > 4096:
            seen = {c for c in seen if c + 1023 >= hi}
        st.win[kid] = (hi, seen)
        return (leaf, pt, info)


class Sealer:

    def __init__(self):
        self.key = None
        self.last = 0
        self.used = {}

    def seal(self, me, opus, captured, level, notes, spk, now):
        """me: MediaEpoch"""
        me.tick(now)
        st = me.steps[me.cur]
        kid = st.kids.get(me.me)
        if kid is None:
            raise Bad("no kid")
        k = (me.ctx, st.i)
        ctr = self.used.get(k, 256)
        if ctr > 65535:
            raise Bad("counter")
        if captured <= self.last:
            raise Bad("time")
        key, salt, ck = st.key(kid)
        size = me.terms.size
        if me.terms.auth == 0:
            body = signed_plain(opus, size, captured, level, notes)
            sctx = speaker_context(me.ctx, me.me, spk.pub)
            pt = body + spk.sign(frame_msg(sctx, st.i, kid, ctr, ck, body))
        else:
            pt = pad_opus(opus, size)
        self.used[k] = ctr + 1
        self.last = captured
        h = enc_header(kid, ctr)
        return h + gcm_seal(key, nonce(salt, ctr), pt, h)
