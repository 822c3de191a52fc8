//! The defences of a room and of its hall against their own members, each of which a test can take
//! out.
//!
//! Without the feature `testkit` every defence holds, and asking is a constant: the switches are
//! not in the product.

macro_rules! defences {
    ($($(#[doc = $doc:literal])+ $name:ident = $rule:literal,)+) => {
        /// A rule that keeps a hostile member, or a relay that helps it, from something.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[allow(dead_code, reason = "without the feature nobody lists them")]
        pub enum Defence {
            $($(#[doc = $doc])+ $name,)+
        }

        #[cfg(feature = "testkit")]
        impl Defence {
            /// Every defence, in the order of the rules.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The rule of `spec/` that the defence is.
            pub const fn rule(self) -> &'static str {
                match self {
                    $(Self::$name => $rule,)+
                }
            }

            /// Whether it is of halls (`spec/stage.md`), which rooms without one never ask.
            pub fn is_of_hall(self) -> bool {
                self.rule().starts_with('H')
            }

            /// The name by which a command line calls it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

defences! {
    /// A statement is signed by its issuer.
    StatementSignature = "L29",
    /// A commit leads to the law of the statements that it names.
    CommitLaw = "C2",
    /// A commit leaves nobody in the tree whom its law does not admit.
    CommitTree = "C3",
    /// No KeyPackage is added twice, or after its identity left.
    CommitFresh = "C4",
    /// A commit removes nobody who is admitted and was heard.
    CommitRemoves = "C5",
    /// Only the keeper commits.
    CommitTurn = "C6",
    /// A keeper commits 18 times in 30 s at most.
    CommitPace = "C6",
    /// A renewal counts when the keeper says so.
    RenewalWord = "C7",
    /// Nobody takes over from a keeper that is heard and does its part.
    TakeoverSilence = "K3",
    /// Two takeovers of one member in 60 s, six of all.
    TakeoverPace = "K3",
    /// A keeper that leaves somebody in who is out counts as silent.
    IdleKeeper = "K2",
    /// Calls make a keeper send 12 heartbeats in 30 s at most.
    CallPace = "K5",
    /// One identity is added once in 5 s, and four times in 60 s.
    AddPace = "K7",
    /// A beat is signed by the identity in it.
    BeatSignature = "B1",
    /// A word is as old as it is, however long a relay held it back.
    Made = "T1",
    /// A member stops sending while somebody who is out is in the tree.
    Removal = "S1",
    /// A member stops sending 15 s after the last word of its keeper.
    Proof = "S2",
    /// The words of one keeper do not prove that the next one is there.
    ProofOfNext = "S2",
    /// A member stops sending when an epoch that it was told of stays away.
    Withheld = "S3",
    /// A member stops sending when nobody of rank was heard for long.
    Attended = "S4",
    /// What known law puts out or mutes is not heard, whatever the epoch says.
    Restrict = "A2",
    /// A Leave is signed by who leaves.
    LeaveSignature = "P4",
    /// A newcomer enters only with the word of somebody of rank.
    Receipt = "E7",
    /// Everybody in the tree of a Welcome is admitted by all that the one who enters knows.
    WelcomeTree = "E8, R4",
    /// The law in a Welcome is that of the context.
    WelcomeLaw = "E6, R4",
    /// A keeper that does not let a member back is passed over.
    InVain = "R3",
    /// Questions for statements are answered 16 times in an epoch.
    AnswerPace = "G3",
    /// A speaker that is asked for its key says it once in 2 s.
    AnnouncePace = "C11",
    /// A moderator gets four badges in a minute.
    BadgePace = "D2",
    /// An open door lets in 30 people in 60 s.
    DoorPace = "D4",
    /// At most 64 people wait at a door.
    DoorBound = "D5",
    /// At most two commits of one member wait, 16 in all.
    PendingBound = "C5",
    /// At most 262,144 bytes of messages wait for their epoch.
    HeldBound = "C10",
    /// A member that publishes its live speaker key is not heard under it any more.
    Publication = "SPEC 12.6",
    /// Hall: nobody on the stage moves the clocks of others by more than six steps in 5 s.
    HallClock = "H2.1",
    /// Hall: a listener's clock follows its own porter alone.
    HallOwnClock = "H2.2",
    /// Hall: one turn moves the count of turns by 1,024 at most, and never to 2^48.
    HallCount = "H7",
    /// Hall: no porter lets in whom known law has banned.
    HallBan = "H9.3",
    /// Hall: a knock is later than the last one of its identity.
    HallKnock = "H9.2",
    /// Hall: a ticket is signed, is about who shows it, and is of a term of rank.
    HallTicket = "H9.5",
    /// Hall: a cell that somebody has left gets a fresh chain.
    HallChain = "H10",
    /// Hall: a porter passes on no turn before it knows what the turn's maker knew.
    HallLaw = "H10, fails closed",
    /// Hall: a secret counts once a beat has named its epoch.
    HallNamed = "H11, named",
    /// Hall: a secret leads to the mark that the beat named.
    HallMark = "H11, mark",
    /// Hall: a porter's message to one listener, and a bundle, count once.
    HallReplay = "H11.8",
    /// Hall: a speaker stops if no turn heeds a ban that it knows.
    HallHeeded = "H12",
    /// Hall: a card is signed by its identity.
    HallCard = "H13",
    /// Hall: a porter answers one listener's costly requests once in 900 ms.
    HallPace = "H, 6.6",
}

/// Whether a defence holds.
#[cfg(not(feature = "testkit"))]
pub(crate) const fn holds(_: Defence) -> bool {
    true
}

#[cfg(feature = "testkit")]
pub(crate) fn holds(defence: Defence) -> bool {
    TAKEN_OUT.get() != Some(defence)
}

/// Whether signatures under this label are checked.
#[cfg(not(feature = "testkit"))]
pub(crate) const fn checks(_: &[u8]) -> bool {
    true
}

#[cfg(feature = "testkit")]
pub(crate) fn checks(label: &[u8]) -> bool {
    match label {
        b"sottovoce 2 heartbeat" => holds(Defence::BeatSignature),
        b"sottovoce 2 leave" => holds(Defence::LeaveSignature),
        b"sottovoce 2 standing" => holds(Defence::StatementSignature),
        _ => true,
    }
}

/// A hall epoch, as a judge sees it: two with one number and different codes are two.
#[cfg(all(feature = "testkit", feature = "stage"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookedAt {
    /// Its number.
    pub n: u64,
    /// What its code comes of.
    pub code: [u8; 32],
}

/// Runs `body` on this thread in a world without one defence.
#[cfg(feature = "testkit")]
pub fn without<T>(defence: Option<Defence>, body: impl FnOnce() -> T) -> T {
    struct Restore(Option<Defence>);
    impl Drop for Restore {
        fn drop(&mut self) {
            TAKEN_OUT.set(self.0);
        }
    }
    let _restore = Restore(TAKEN_OUT.replace(defence));
    body()
}

#[cfg(feature = "testkit")]
thread_local! {
    static TAKEN_OUT: std::cell::Cell<Option<Defence>> = const { std::cell::Cell::new(None) };
}
