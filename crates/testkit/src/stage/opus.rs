//! Opus packets to seal, and a reader of their frames that shares nothing with the library's
//! parser.

/// A packet of 20 ms (code 0) whose frame has these bytes.
pub fn packet(frame: &[u8]) -> Vec<u8> {
    [&[0x78], frame].concat()
}

/// A signed packet of `size` bytes without its signature: one frame of 20 ms, filler, and the
/// tail's first nine bytes, all in the padding (SPEC section 5.2).
pub fn untailed(frame: &[u8], size: usize) -> Vec<u8> {
    let padding = u8::try_from(size - 3 - frame.len()).expect("one byte says how long the padding is");
    let filler = vec![0x01; usize::from(padding) - 73];
    [&[0x7b, 0x41, padding], frame, &filler, &[0xc2, 0, 0, 0, 0, 0, 1, 2, 0]].concat()
}

/// How many bytes of padding a well-formed packet has.
pub fn padding(packet: &[u8]) -> usize {
    let [toc, count, rest @ ..] = packet else { return 0 };
    if toc & 3 != 3 || count & 0x40 == 0 {
        return 0;
    }
    let full = rest.iter().take_while(|byte| **byte == 255).count();
    254 * full + rest.get(full).map_or(0, |last| usize::from(*last))
}

/// The frames of a packet, or `None` if it breaks a rule of RFC 6716 section 3.4.
pub fn frames(packet: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = packet.iter().copied();
    let toc = rest.next()?;
    let (mut number, mut sized, mut padding) = ([1, 2, 2, 0][usize::from(toc & 3)], toc & 3 == 2, 0);
    if toc & 3 == 3 {
        let count = rest.next()?;
        (number, sized) = (usize::from(count & 0x3f), count & 0x80 != 0);
        let mut more = count & 0x40 != 0;
        while more {
            let byte = rest.next()?;
            padding += usize::from(byte.min(254));
            more = byte == 255;
        }
    }
    // A frame lasts 2.5 ms times this (RFC 6716 section 3.1); a packet 120 ms at most.
    let quarters = match toc >> 3 {
        silk @ 0..12 => [4, 8, 16, 24][usize::from(silk % 4)],
        hybrid @ 12..16 => [4, 8][usize::from(hybrid % 2)],
        celt => [1, 2, 4, 8][usize::from(celt % 4)],
    };
    if number == 0 || toc & 3 == 3 && number * quarters > 48 {
        return None;
    }
    let mut sizes = Vec::new();
    for _ in 1..number {
        sizes.push(match sized.then(|| rest.next()) {
            None => usize::MAX,
            Some(None) => return None,
            Some(Some(short @ 0..252)) => usize::from(short),
            Some(Some(first)) => usize::from(first) + 4 * usize::from(rest.next()?),
        });
    }
    let mut body: Vec<u8> = rest.collect();
    body.truncate(body.len().checked_sub(padding)?);
    if !sized {
        if !body.len().is_multiple_of(number) {
            return None;
        }
        sizes.fill(body.len() / number);
    }
    let mut frames = Vec::new();
    for size in sizes {
        if size > body.len() {
            return None;
        }
        let after = body.split_off(size);
        frames.push(std::mem::replace(&mut body, after));
    }
    frames.push(body);
    frames.iter().all(|frame| frame.len() <= 1_275).then_some(frames)
}
