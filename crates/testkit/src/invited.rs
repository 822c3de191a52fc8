//! What the fuzzer drives for invites, and what replays its corpus: text of SPEC section 6.3.

use sottovoce::room::Invite;

/// Any text as an invite: a typed error, or one that is the same in both of its forms.
pub fn invite(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for text in [text.to_string(), format!("sottovoce:{text}"), format!("SOTTOVOCE:.{text}")] {
        let Ok(invite) = text.parse::<Invite>() else { continue };
        let (link, qr) = (invite.to_string(), invite.to_qr());
        // There is one text in each form, but for the case of the scheme.
        assert!(text.eq_ignore_ascii_case(&link) || text.eq_ignore_ascii_case(&qr), "{text}");
        for same in [&link, &qr] {
            let back: Invite = same.parse().unwrap();
            assert_eq!((back.to_string(), back.to_qr()), (link.clone(), qr.clone()));
            assert_eq!(
                (back.handle(), back.host(), back.expires()),
                (invite.handle(), invite.host(), invite.expires())
            );
            assert!((1..=8).contains(&back.relays().len()));
        }
    }
}
