"""The media plane's derivations written a second time, from RFC 9605, RFC 6716 and SPEC.md alone.

`check.py` checks the vectors with them, `write.py` writes the vectors. Needs Python 3.9 and the
package `cryptography` (AES-GCM, AES-CTR, Ed25519); hashes are the standard library's.
"""

import hashlib
import hmac

import shared
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from shared import be, sign

# Suite: hash, bytes of an AEAD key (Nk), bytes of a hash (Nh), bytes of a tag (Nt). RFC 9605
# section 4.5.
SUITES = {
    1: ("sha256", 48, 32, 10),
    2: ("sha256", 48, 32, 8),
    3: ("sha256", 48, 32, 4),
    4: ("sha256", 16, 32, 16),
    5: ("sha512", 32, 64, 16),
}


# ---- HKDF (RFC 5869) -------------------------------------------------------------------------------------------------


def extract(suite, ikm):
    """HKDF-Extract with an empty salt."""
    return shared.extract(b"", ikm, SUITES[suite][0])


def expand(suite, prk, info, size):
    return shared.expand(prk, info, size, SUITES[suite][0])


# ---- RFC 9605 --------------------------------------------------------------------------------------------------------


def encode_header(kid, ctr):
    """Section 4.3, in the shortest form."""
    fields, config = b"", 0
    for value in (kid, ctr):
        config <<= 4
        if value < 8:
            config |= value
        else:
            size = (value.bit_length() + 7) // 8
            config |= 8 | (size - 1)
            fields += be(value, size)
    return bytes([config]) + fields


def decode_header(frame):
    """(kid, ctr, bytes taken), or None for what is cut short or not in the shortest form."""
    if not frame:
        return None
    values, at = [], 1
    for nibble in (frame[0] >> 4, frame[0] & 15):
        if nibble < 8:
            values.append(nibble)
            continue
        size = nibble - 7
        if len(frame) < at + size:
            return None
        values.append(int.from_bytes(frame[at : at + size], "big"))
        at += size
    kid, ctr = values
    return (kid, ctr, at) if encode_header(kid, ctr) == frame[:at] else None


def labels(suite, kid):
    tail = be(kid, 8) + be(suite, 2)
    return b"SFrame 1.0 Secret key " + tail, b"SFrame 1.0 Secret salt " + tail


def nonce_of(salt, ctr):
    return bytes(a ^ b for a, b in zip(salt, be(ctr, 12)))


def ctr_hmac_seal(suite, key, nonce, aad, plaintext):
    """Sections 4.5.1 to 4.5.3, of suites 1 to 3, which this library leaves out."""
    enc_key, auth_key, tag_size = key[:16], key[16:], SUITES[suite][3]
    ciphertext = Cipher(algorithms.AES(enc_key), modes.CTR(nonce + bytes(4))).encryptor().update(plaintext)
    sizes = be(len(aad), 8) + be(len(ciphertext), 8) + be(tag_size, 8)
    return ciphertext + hmac.new(auth_key, sizes + nonce + aad + ciphertext, "sha256").digest()[:tag_size]


def aead_seal(suite, key, nonce, aad, plaintext):
    if suite < 4:
        return ctr_hmac_seal(suite, key, nonce, aad, plaintext)
    return shared.gcm(key, nonce, plaintext, aad)


def ratchet(suite, base_key):
    """Section 5.1."""
    return expand(suite, extract(suite, base_key), b"SFrame 1.0 Ratchet", SUITES[suite][2])


# ---- SPEC section 4: the key schedule --------------------------------------------------------------------------------


def epoch_context(group_id, epoch, authenticator):
    sized = lambda part: be(len(part), 8) + part
    return hashlib.sha256(b"sottovoce 1 epoch" + sized(group_id) + be(epoch, 8) + sized(authenticator)).digest()


def first_base_key(suite, epoch_secret, context):
    info = b"sottovoce 1 base" + context + be(suite, 2)
    return expand(suite, extract(suite, epoch_secret), info, SUITES[suite][2])


def base_keys(suite, epoch_secret, context, count):
    keys = [first_base_key(suite, epoch_secret, context)]
    while len(keys) < count:
        keys.append(ratchet(suite, keys[-1]))
    return keys


def kid_key(suite, base_key):
    return expand(suite, extract(suite, base_key), b"sottovoce 1 kid", 32)


def kid_candidate(key, step, leaf, attempt):
    tag = hmac.new(key, be(leaf, 4) + bytes([attempt]), "sha256").digest()
    return 0x80000000 | (int.from_bytes(tag[:4], "big") & 0x7FFFFFFC) | (step & 3)


def assign_kids(key, step, leaves):
    """Leaves in ascending order; each takes its first candidate that no lower leaf has."""
    kids = []
    for leaf in leaves:
        kids.append(next(kid for n in range(256) if (kid := kid_candidate(key, step, leaf, n)) not in kids))
    return kids


def frame_key(suite, base_key, kid):
    """(key, salt, content key) of one KID: the content key stands behind the salt in one HKDF
    output."""
    prk = extract(suite, base_key)
    key_label, salt_label = labels(suite, kid)
    block = expand(suite, prk, salt_label, 32)
    return expand(suite, prk, key_label, SUITES[suite][1]), block[:12], block[12:]


def content_salt(content_key, ctr):
    """What salts the hash of the packet with this counter (SPEC section 5.3)."""
    return hmac.new(content_key, be(ctr, 8), "sha256").digest()[:16]


# ---- RFC 6716 section 3, SPEC section 5.1: padding -------------------------------------------------------------------


def opus_length(data):
    """A frame length and the bytes after it."""
    if not data or (data[0] >= 252 and len(data) < 2):
        raise ValueError("a length is cut short")
    return (data[0], data[1:]) if data[0] < 252 else (data[1] * 4 + data[0], data[2:])


def opus_duration(toc):
    """Microseconds of one frame."""
    config = toc >> 3
    if config < 12:
        return (10000, 20000, 40000, 60000)[config % 4]
    return (10000, 20000)[config % 2] if config < 16 else (2500, 5000, 10000, 20000)[config % 4]


def opus_parse(packet):
    """(frames, count byte, bytes of lengths and frames, padding) by rules R1 to R7; ValueError if
    one is broken."""
    if not packet:
        raise ValueError("R1")
    code, rest, padding = packet[0] & 3, packet[1:], b""
    if code == 0:
        frames, count = [rest], 1
    elif code == 1:
        if len(rest) % 2:
            raise ValueError("R3")
        frames, count = [rest[: len(rest) // 2], rest[len(rest) // 2 :]], 2
    elif code == 2:
        size, data = opus_length(rest)
        if size > len(data):
            raise ValueError("R4")
        frames, count = [data[:size], data[size:]], 0x82
    else:
        if not rest:
            raise ValueError("R5: no count")
        count, rest = rest[0], rest[1:]
        number = count & 63
        if number == 0 or number * opus_duration(packet[0]) > 120000:
            raise ValueError("R5")
        if count & 0x40:
            size, more = 0, True
            while more:
                if not rest:
                    raise ValueError("R6: the padding length is cut short")
                more = rest[0] == 255
                size, rest = size + (254 if more else rest[0]), rest[1:]
            if size > len(rest):
                raise ValueError("R6: padding")
            rest, padding = rest[: len(rest) - size], rest[len(rest) - size :]
        if count & 0x80:
            sizes, data = [], rest
            for _ in range(number - 1):
                size, data = opus_length(data)
                sizes.append(size)
            if sum(sizes) > len(data):
                raise ValueError("R7")
            frames = []
            for size in sizes:
                frames.append(data[:size])
                data = data[size:]
            frames.append(data)
        else:
            if len(rest) % number:
                raise ValueError("R6: unequal frames")
            size = len(rest) // number
            frames = [rest[i * size : (i + 1) * size] for i in range(number)]
    if any(len(frame) > 1275 for frame in frames):
        raise ValueError("R2")
    return frames, count, rest, padding


def opus_pad(packet, size, fill):
    """The same packet in `size` bytes, or None if it is larger. New padding goes behind what is
    there."""
    frames, count, body, padding = opus_parse(packet)
    if size <= len(packet):
        return packet if size == len(packet) else None
    room = size - 2 - len(body)  # for the padding length and the padding
    if room == 0:
        padded = bytes([packet[0] | 3, count & ~0x40]) + body
    else:
        length_bytes = next(n for n in range(1, 9) if 254 * (n - 1) <= room - n <= 254 * n)
        amount = room - length_bytes
        length = bytes([255] * (length_bytes - 1) + [amount - 254 * (length_bytes - 1)])
        padding += bytes([fill]) * (amount - len(padding))
        padded = bytes([packet[0] | 3, count | 0x40]) + length + body + padding
    assert len(padded) == size and opus_parse(padded)[0] == frames
    return padded


# ---- SPEC section 5: stamp, signature, packet ------------------------------------------------------------------------


def speaker_context(context, leaf, public):
    return hashlib.sha256(b"sottovoce 1 speaker" + context + be(leaf, 4) + public).digest()


def frame_message(speaker, step, kid, ctr, content):
    return b"sottovoce 1 frame" + speaker + be(step, 4) + be(kid, 8) + be(ctr, 8) + content


def whole_packet(case):
    """Everything from an epoch secret to a sealed packet, by name."""
    suite, step, ctr, kid_of = case["suite"], case["step"], case["ctr"], case["leaves"].index(case["leaf"])
    context = epoch_context(case["group_id"], case["epoch"], case["authenticator"])
    base_key = base_keys(suite, case["epoch_secret"], context, step + 1)[-1]
    kid = assign_kids(kid_key(suite, base_key), step, case["leaves"])[kid_of]
    key, salt, content_key = frame_key(suite, base_key, kid)
    made = dict(context=context, base_key=base_key, kid=kid, key=key, salt=salt, content_key=content_key)
    if case["signed"]:
        made["public"] = shared.public(case["seed"])
        made["speaker_context"] = speaker_context(context, case["leaf"], made["public"])
        padded = opus_pad(case["packet"], case["size"], 1)
        body = padded[:-73] + b"\xc2" + be(case["captured"], 6) + bytes([case["level"], case["notes"]])
        made["content_salt"] = content_salt(content_key, ctr)
        made["content"] = hashlib.sha256(made["content_salt"] + body).digest()
        made["message"] = frame_message(made["speaker_context"], step, kid, ctr, made["content"])
        made["signature"] = sign(case["seed"], made["message"])
        plaintext = body + made["signature"]
    else:
        plaintext = opus_pad(case["packet"], case["size"], 0)
    header = encode_header(kid, ctr)
    sealed = header + shared.gcm(key, nonce_of(salt, ctr), plaintext, header)
    return made | dict(plaintext=plaintext, sealed=sealed)


# ---- the same secrets as they may lie in memory ----------------------------------------------------------------------


# Of SHA-256 and SHA-512 (FIPS 180-4): bits of a word, rounds, and the rotations of the four
# functions. The last number of a small sigma is a shift.
SHA2 = {
    "sha256": (32, 64, (7, 18, 3), (17, 19, 10), (6, 11, 25), (2, 13, 22)),
    "sha512": (64, 80, (1, 8, 7), (19, 61, 6), (14, 18, 41), (28, 34, 39)),
}


def fractions(count, bits, power):
    """The first bits of the fractional parts of the roots of the first primes."""
    primes = [n for n in range(2, 410) if all(n % d for d in range(2, n))][:count]
    for prime in primes:
        target, root = prime << (power * bits), 0
        for bit in reversed(range(bits + 5)):
            if (root | 1 << bit) ** power <= target:
                root |= 1 << bit
        yield root & ((1 << bits) - 1)


def sha2_state(name, block):
    """The eight words after one block, as a little-endian machine keeps them."""
    bits, rounds, small0, small1, big1, big0 = SHA2[name]
    mask, size = (1 << bits) - 1, bits // 8
    turn = lambda x, n: (x >> n | x << (bits - n)) & mask
    small = lambda x, n: turn(x, n[0]) ^ turn(x, n[1]) ^ x >> n[2]
    big = lambda x, n: turn(x, n[0]) ^ turn(x, n[1]) ^ turn(x, n[2])
    w = [int.from_bytes(block[i * size : (i + 1) * size], "big") for i in range(16)]
    for i in range(16, rounds):
        w.append((w[i - 16] + small(w[i - 15], small0) + w[i - 7] + small(w[i - 2], small1)) & mask)
    start = list(fractions(8, bits, 2))
    state = start
    for k, word in zip(fractions(rounds, bits, 3), w):
        a, b, c, d, e, f, g, h = state
        t1 = (h + big(e, big1) + (e & f ^ ~e & mask & g) + k + word) & mask
        state = [(t1 + big(a, big0) + (a & b ^ a & c ^ b & c)) & mask, a, b, c, (d + t1) & mask, e, f, g]
    return b"".join(((x + y) & mask).to_bytes(size, "little") for x, y in zip(state, start))


def hmac_states(name, key):
    """What an implementation of HMAC keeps instead of its key: as good as the key itself."""
    size = hashlib.new(name).block_size
    return [sha2_state(name, bytes(byte ^ pad for byte in key.ljust(size, b"\0"))) for pad in (0x36, 0x5C)]


def in_memory(case):
    """Every secret of the first steps of an epoch, by name."""
    suite, secret, seed = case["suite"], case["epoch_secret"], case["seed"]
    context = epoch_context(case["group_id"], case["epoch"], case["authenticator"])
    expanded = hashlib.sha512(seed).digest()
    found = {"epoch_secret": secret, "seed": seed, "prefix": expanded[32:]}
    found["scalar"] = bytes([expanded[0] & 0xF8, *expanded[1:31], expanded[31] & 0x3F | 0x40])

    def keyed(name, key, hashed="sha256"):
        found[f"{name}_inner"], found[f"{name}_outer"] = hmac_states(hashed, key)
        return key

    found["epoch_prk"] = keyed("epoch_prk", extract(suite, secret), SUITES[suite][0])
    for step, base_key in enumerate(base_keys(suite, secret, context, 5)):
        found[f"base_key_step{step}"] = base_key
        found[f"prk_step{step}"] = keyed(f"prk_step{step}", extract(suite, base_key), SUITES[suite][0])
        makes_kids = kid_key(suite, base_key)
        found[f"kid_key_step{step}"] = keyed(f"kid_key_step{step}", makes_kids)
        for leaf, kid in zip(case["leaves"], assign_kids(makes_kids, step, case["leaves"])):
            at = f"step{step}_leaf{leaf}"
            found[f"key_{at}"], salt, content_key = frame_key(suite, base_key, kid)
            found[f"salt_{at}"], found[f"salt_number_{at}"] = salt, salt[::-1]
            found[f"content_key_{at}"] = keyed(f"content_state_{at}", content_key)
    return found
