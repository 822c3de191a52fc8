//! Invites as people copy, scan and mistype them.

use proptest::prelude::*;

use super::*;

fn invite(relays: &[&str], uses: u16) -> Invite {
    Invite {
        lane: LaneKey::new(&[2; 32]),
        group_id: [4; 32],
        host: IdentityKey::from_bytes([5; 32]),
        office: [6; 32],
        no: 1_800_000_000_000,
        id: InviteId([1; 16]),
        key_exchange: KeyExchange::MlKem768X25519,
        sound: Sound::Speech,
        expires: UnixTime(1_800_000_000),
        uses,
        relays: relays.iter().map(|name| RelayName::new(name).unwrap()).collect(),
    }
}

/// The link of these bytes in front of the checksum, whatever they say.
fn link(content: &[u8]) -> String {
    format!("{SCHEME}{}", base64url::encode(&[content, &checksum(content)].concat()))
}

fn error(text: &str) -> InviteError {
    text.parse::<Invite>().unwrap_err()
}

#[test]
fn a_link_comes_back_the_same() {
    let link = invite(&["relay.example:443", "[::1]:4000"], 3).to_string();
    assert!(link.starts_with("sottovoce:"));
    let back: Invite = link.parse().unwrap();
    assert_eq!(back.to_string(), link);
    assert_eq!(back.relays()[1].as_str(), "[::1]:4000");
    assert_eq!(back.uses(), Some(3));
    assert_eq!(back.key_exchange(), KeyExchange::MlKem768X25519);
    assert_eq!(back.host(), fingerprint(&[5; 32]));
    assert_eq!(back.expires(), UnixTime(1_800_000_000));
    assert_eq!(invite(&["r"], 0).uses(), None);
}

#[test]
fn an_invite_says_what_the_room_sounds_like_and_an_unknown_sound_is_told_before_anything_else() {
    for sound in [Sound::Speech, Sound::StereoSpeech, Sound::Music] {
        let invite = Invite { sound, ..invite(&["relay.example:443"], 3) };
        for text in [invite.to_string(), invite.to_qr()] {
            assert_eq!(text.parse::<Invite>().unwrap().sound(), sound);
        }
    }
    let invite = Invite { sound: Sound::Music, ..invite(&["relay.example:443"], 3) }.encode();
    let (content, _) = invite.bytes().split_last_chunk::<4>().unwrap();
    for unknown in (0..=u8::MAX).filter(|id| ![1, 2].contains(id)) {
        let mut content = content.to_vec();
        content[1 + 4 * 32 + 8 + 16 + 2] = unknown;
        assert_eq!(error(&link(&content)), InviteError::Sound, "{unknown}");
    }
    for len in 1..content.len() {
        assert_eq!(error(&link(&content[..len])), InviteError::Malformed, "cut to {len}");
    }
}

#[test]
fn white_space_around_a_link_is_ignored() {
    let invite = invite(&["relay.example:443"], 3);
    for link in [invite.to_string(), invite.to_qr(), invite.to_https("https://a.example/").unwrap()] {
        for text in [format!("{link}\n"), format!(" \t{link}\r\n\n"), format!("\u{a0}{link} ")] {
            assert_eq!(text.parse::<Invite>().unwrap().to_string(), invite.to_string());
        }
    }
}

#[test]
fn every_mistake_of_one_character_is_told_as_mistyped() {
    let invite = invite(&["relay.example:443"], 3);
    for link in [invite.to_string(), invite.to_qr()] {
        let other = |c: char| match c {
            'A'..='Y' | 'a'..='y' | '0'..='8' => char::from(c as u8 + 1),
            _ => 'A',
        };
        let characters: Vec<char> = link.chars().collect();
        for at in 0..characters.len() {
            let changed = |new: &[char]| {
                [&characters[..at], new, &characters[at + 1..]].concat().iter().collect::<String>()
            };
            let c = characters[at];
            let mut mistakes =
                vec![vec![], vec![other(c)], vec!['!'], vec!['é'], vec![c, '0'], vec![' ', c], vec!['-']];
            // Case is no mistake in the scheme, and elsewhere it is one where there are two cases.
            if at >= SCHEME.len() && c.is_ascii_alphabetic() {
                mistakes.push(vec![char::from(c as u8 ^ 0x20)]);
            }
            for new in mistakes {
                let text = changed(&new);
                // White space in front is ignored.
                if text != link && text.trim() != link {
                    assert_eq!(error(&text), InviteError::Mistyped, "{text}");
                }
            }
            if at > 0 && at != SCHEME.len() && characters[at - 1] != c {
                let mut swapped = characters.clone();
                swapped.swap(at - 1, at);
                let swapped: String = swapped.into_iter().collect();
                assert_eq!(error(&swapped), InviteError::Mistyped, "{swapped}");
            }
        }
    }
}

#[test]
fn every_cut_is_told_as_mistyped() {
    let whole = invite(&["relay.example:443"], 3);
    for link in [whole.to_string(), whole.to_qr()] {
        for len in SCHEME.len()..link.len() {
            assert_eq!(error(&link[..len]), InviteError::Mistyped, "cut to {len}");
        }
        for len in 0..SCHEME.len() {
            assert_eq!(error(&link[..len]), InviteError::Scheme, "cut to {len}");
        }
    }
}

#[test]
fn a_link_behind_a_page_is_taken_and_a_page_that_is_none_is_refused() {
    let invite = invite(&["relay.example:443"], 3);
    let link = invite.to_https("https://talk.example/join?l=en").unwrap();
    assert!(link.starts_with("https://talk.example/join?l=en#sottovoce:"));
    let qr = format!("HTTPS://talk.example#{}", invite.to_qr());
    for text in [&link, &qr] {
        assert_eq!(text.parse::<Invite>().unwrap().to_string(), invite.to_string());
    }
    for page in ["", "https://", "http://a.example/", "sottovoce:", "https://a#b", "https://a b", "https://é"]
    {
        assert_eq!(invite.to_https(page), Err(InviteError::Page), "{page:?}");
    }
    let long = format!("https://a.example/{}", "x".repeat(MAX_LINK));
    assert_eq!(invite.to_https(&long), Err(InviteError::TooLong));
    assert_eq!(error("https://talk.example/join"), InviteError::Scheme);
    assert_eq!(error("https://talk.example/join#"), InviteError::Scheme);
    assert_eq!(error(&link.replacen("https", "http", 1)), InviteError::Scheme);
}

#[test]
fn a_link_with_eight_long_relays_fits() {
    let name = "r".repeat(RelayName::MAX_LEN);
    let invite = invite(&[name.as_str(); 8], 0);
    for text in [invite.to_string(), invite.to_qr()] {
        assert!(text.len() <= MAX_LINK, "{}", text.len());
        assert!(text.parse::<Invite>().is_ok());
    }
}

#[test]
fn a_qr_code_is_of_a_version_that_phones_read_with_ease() {
    let pinned = format!("quic:203.0.113.7:4434#{}", "x".repeat(43));
    // How many characters of its alphanumeric mode a code holds at error correction M (ISO/IEC
    // 18004 table 7).
    let (version_10, version_11, version_13) = (311, 366, 483);
    for (relays, holds) in [
        (&["relay.example:443"][..], version_10),
        (&[&pinned], version_11),
        (&["relay.example:443", "relay.example.org:443"], version_11),
        (&[&pinned, &pinned], version_13),
    ] {
        let invite = invite(relays, 1);
        let qr = invite.to_qr();
        assert!(qr.len() <= holds, "{} relays: {}", relays.len(), qr.len());
        assert!(qr.bytes().all(|c| b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".contains(&c)));
        let back: Invite = qr.parse().unwrap();
        assert_eq!((back.to_string(), back.to_qr()), (invite.to_string(), qr));
    }
}

#[test]
fn a_scheme_is_taken_in_any_case_and_the_forms_are_not_mixed() {
    let invite = invite(&["relay.example:443"], 3);
    for text in [invite.to_string(), invite.to_qr()] {
        let (scheme, rest) = text.split_at(SCHEME.len());
        for scheme in [scheme.to_ascii_lowercase(), scheme.to_ascii_uppercase(), "Sottovoce:".into()] {
            assert_eq!(format!("{scheme}{rest}").parse::<Invite>().unwrap().to_qr(), invite.to_qr());
        }
    }
    assert_eq!(error(&invite.to_qr().replacen('.', "", 1)), InviteError::Mistyped);
    assert_eq!(error(&invite.to_string().replacen(':', ":.", 1)), InviteError::Mistyped);
    assert_eq!(error("SOTTOVOCE:."), InviteError::Mistyped);
    assert_eq!(error("sottovocé:."), InviteError::Scheme);
    assert_eq!(error("https://example.org"), InviteError::Scheme);
    assert_eq!(error(""), InviteError::Scheme);
}

#[test]
fn a_whole_invite_with_wrong_content_says_which_part_is_wrong() {
    let whole = invite(&["relay.example:443"], 3).encode();
    let (content, _) = whole.bytes().split_last_chunk::<4>().unwrap();
    let with = |at: usize, value: &[u8]| {
        let mut content = content.to_vec();
        content[at..at + value.len()].copy_from_slice(value);
        error(&link(&content))
    };
    for version in [0, 1, 4, 255] {
        assert_eq!(with(0, &[version]), InviteError::Version);
    }
    // The first byte of the expiry stands where version 3 has the sound.
    assert_eq!(with(0, &[3]), InviteError::Sound);
    let key_exchange = 1 + 4 * 32 + 8 + 16;
    for id in [0x0000_u16, 0x0002, 0x0003, 0x004E, 0x0050, 0x4F00, 0xFFFF] {
        assert_eq!(with(key_exchange, &id.to_be_bytes()), InviteError::KeyExchange, "{id:#06x}");
    }
    let relays = key_exchange + 2 + 8 + 2;
    assert_eq!(with(relays, &[0]), InviteError::Relays);
    assert_eq!(with(relays, &[9]), InviteError::Relays);
    assert_eq!(with(relays, &[2]), InviteError::Malformed);
    assert_eq!(with(relays + 2, b" "), InviteError::Relays);
    for len in 1..content.len() {
        assert_eq!(error(&link(&content[..len])), InviteError::Malformed, "cut to {len}");
    }
    assert_eq!(error(&link(&[content, &[0]].concat())), InviteError::Malformed);
    assert_eq!(error(&link(&[])), InviteError::Malformed);
    assert_eq!(error(&format!("sottovoce:{}", "A".repeat(2048))), InviteError::TooLong);
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", invite(&["r"], 0)), "Invite(..)");
}

proptest! {
    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        for text in [format!("sottovoce:{text}"), format!("sottovoce:.{text}"), format!("https://{text}")] {
            let _ = text.parse::<Invite>();
        }
        let _ = text.parse::<Invite>();
    }

    #[test]
    fn random_content_with_its_checksum_never_panics(content in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = link(&[&[VERSION][..], &content].concat()).parse::<Invite>();
    }

    #[test]
    fn both_forms_of_any_invite_say_the_same(
        fields in any::<([u8; 32], [u8; 32], [u8; 32], [u8; 32], u64, [u8; 16], u64, u16)>(),
        sound in prop::sample::select(vec![Sound::Speech, Sound::StereoSpeech, Sound::Music]),
        relays in prop::collection::vec("[!-~]{1,128}", 1..=8),
    ) {
        let (lane, group_id, host, office, no, id, expires, uses) = fields;
        let invite = Invite {
            lane: LaneKey::new(&lane),
            group_id,
            host: IdentityKey::from_bytes(host),
            office,
            no,
            id: InviteId(id),
            key_exchange: KeyExchange::X25519,
            sound,
            expires: UnixTime(expires),
            uses,
            relays: relays.iter().map(|name| RelayName::new(name).unwrap()).collect(),
        };
        for text in [invite.to_string(), invite.to_qr()] {
            let (back, whole) = (text.parse::<Invite>().unwrap().encode(), invite.encode());
            prop_assert_eq!(back.bytes(), whole.bytes());
        }
    }
}
