//! Every error that wraps another shows it as its source.

use std::error::Error;

use sottovoce::{
    Epoch, SealError,
    driver::{SessionError, SpeakError, policy::Why},
    group::CredentialError,
    relay::log::ReadError,
    report::{ExcerptError, Rejected},
    room::{CommandError, ControlError, CreateError, JoinError, ReportError, ResumeError, Violation},
    transport::TransportError,
};

fn wraps(outer: impl Error, inner: impl Error) {
    let source = outer.source().unwrap_or_else(|| panic!("{outer:?} has no source"));
    assert_eq!(source.to_string(), inner.to_string(), "{outer:?}");
}

#[test]
fn the_source_of_an_error_is_the_error_that_it_wraps() {
    wraps(SessionError::Create(CreateError::Relays), CreateError::Relays);
    wraps(SessionError::Join(JoinError::Expired), JoinError::Expired);
    wraps(SessionError::Resume(ResumeError::OtherIdentity), ResumeError::OtherIdentity);
    wraps(SessionError::Transport(TransportError::Busy), TransportError::Busy);
    wraps(SpeakError::Seal(SealError::TooLarge), SealError::TooLarge);
    wraps(SpeakError::Transport(TransportError::Closed), TransportError::Closed);
    wraps(Why::Transport(TransportError::NoMedia), TransportError::NoMedia);
    wraps(CommandError::NotPermitted(Violation::NoRight), Violation::NoRight);
    wraps(ControlError::NotPermitted { by: None, violation: Violation::Law }, Violation::Law);
    wraps(ControlError::KeyPackage(Violation::Stale), Violation::Stale);
    wraps(ControlError::Welcome(Violation::HandOver), Violation::HandOver);
    wraps(Violation::Credential(CredentialError::Forged), CredentialError::Forged);
    wraps(ReportError::Excerpt(ExcerptError::NothingHeard), ExcerptError::NothingHeard);
    let why = CredentialError::Malformed;
    wraps(Rejected::Credential { epoch: Epoch(7), why }, why);
    let refused = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    wraps(ReadError::Io(refused()), refused());
    #[cfg(feature = "voice")]
    {
        use sottovoce::{codec::CodecError, voice::VoiceError};
        wraps(VoiceError::Codec(CodecError::Frame), CodecError::Frame);
    }
}

#[test]
fn an_error_that_wraps_none_has_no_source() {
    assert!(SessionError::NoTransport.source().is_none());
    assert!(CommandError::NoRank.source().is_none());
    assert!(ControlError::Malformed.source().is_none());
    assert!(Rejected::NoKey.source().is_none());
}
