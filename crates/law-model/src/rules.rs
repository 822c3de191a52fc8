//! Every rule that defends against somebody, as a switch.
//!
//! A search with one rule removed has to find a violation: otherwise the rule is superfluous, or
//! the model is too weak.

/// The rules that hold in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules(u64);

impl Rules {
    /// Every rule holds.
    pub const ALL: Self = Self(u64::MAX);

    /// Every rule but one holds.
    pub const fn without(rule: Rule) -> Self {
        Self::ALL.and_without(rule)
    }

    /// The same without one more rule.
    pub const fn and_without(self, rule: Rule) -> Self {
        Self(self.0 & !(1 << rule as u64))
    }

    /// Whether a rule holds.
    pub const fn has(self, rule: Rule) -> bool {
        self.0 >> rule as u64 & 1 == 1
    }
}

macro_rules! rules {
    ($($name:ident $number:literal $text:literal)*) => {
        /// A rule of `spec/law.md` (L) or `spec/room.md` (all others).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $(#[doc = $text] $name),*
        }

        impl Rule {
            /// All of them, in the order of the pages.
            pub const EVERY: &[Self] = &[$(Self::$name),*];

            /// The number in `spec/law.md` or `spec/room.md`.
            pub const fn number(self) -> &'static str {
                match self { $(Self::$name => $number),* }
            }

            /// What the rule says.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The rule with this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::EVERY.iter().copied().find(|rule| format!("{rule:?}") == name)
            }
        }
    };
}

rules! {
    Pin "L14" "a hand-over that a member has taken stays taken"
    Term "L17" "a standing names the term that its issuer has now"
    Base "L18" "a word's number is above the table's"
    Clamp "L18" "a moderator's number is at most a window above the table's"
    OwnUnban "L21" "a moderator's Unban takes back its own Ban only"
    KnowsEpoch "L30" "known law holds the epoch law"
    Raise "L32" "a change of office raises both numbers of the person by a window and 1"
    Renewal "L33" "words of the last minute that a table could not know are signed again"
    FallenBan "L35" "a ban that fell with its issuer's term is shown to the host"
    ClockNumber "L36" "a table's number is a clock"
    LeadTime "T1" "a word counts from when it was made, not from when it came"
    Shown "C1" "a member holds every statement that a commit adds"
    Union "C2" "the law of a commit is the epoch law and what is added: nothing is dropped"
    CommitPins "C2" "the chain of a commit does not part from the pins"
    Tree "C3" "the coming law admits every leaf"
    Fresh "C4" "an added leaf is newer than every leaf of its identity before, and young"
    AfterLeave "C4" "an added leaf is newer than every Leave of its identity"
    Removal "C5" "only leaves go that are out, left, replaced or absent"
    Vouch "P3" "nobody merges a commit that removes whom it heard in the last 300 s"
    Turn "C6" "a commit is of the keeper, or a takeover while the keeper counts as silent"
    Rate "C6" "a committer is merged 18 times in 30 s"
    Named "C7" "a renewal counts once the keeper's heartbeat states where it leads"
    RenewalRate "C7" "a keeper merges a renewal of each member in 30 s, six of all"
    Order "K1" "rank, table and draw put keepers in an order"
    Idle "K2" "a keeper that leaves a leaf in that is out counts as silent"
    InVain "R3" "a keeper that does not let a member back in is passed over"
    Takeovers "K3" "two takeovers of a member in 60 s, six of all"
    RankTakes "K4" "rank takes over from those below at once"
    Readd "K7" "one identity is added once in 5 s and four times in 60 s"
    Spare "K7" "a keeper keeps some commits for removals of who is out"
    Answered "K8" "a keeper whose heartbeats go unanswered waits for an answer before it commits"
    Going "K9" "a keeper that returns still removes who is out"
    GoesOn "R1" "a member that asked every keeper in vain plays its part where it is"
    ShowAgain "G2" "what is known is shown again while known hashes differ"
    Across "G4" "members show what they know to keepers of other branches"
    ShowRate "G5" "a keeper takes one Return in 2 s and one Show in 10 s of each identity"
    Told "G6" "who is out is shown the statements that say so"
    AsksOn "G6" "whom standings alone put out asks on"
    BeatAdmitted "B1" "a heartbeat counts only if known law admits its key"
    BeatNewer "B1" "a heartbeat is newer than every one of its key before"
    NotDown "B5" "a member does not return to lower rank"
    OutSecond "S1" "senders stop a second after a leaf of the tree is out"
    NotAnew "S1" "no epoch starts that second anew"
    NoSecond "S1" "a leaf that was out when it came in has no second"
    Proof "S2" "senders stop 15 s after the keeper's newest word"
    OwnWord "S2" "a Welcome is a word of its signer alone, made when the KeyPackage was"
    Lacking "S3" "senders stop 3 s after they were told of an epoch that does not come"
    Abreast "S3" "a newer heartbeat of the keeper that states the own epoch ends that"
    Unattended "S4" "senders stop when nobody of rank was heard for `unattended`"
    HeldHash "S4" "rank is heard by a word in the own epoch, with a known hash that the member has held"
    Moderators "S4" "`unattended` holds for moderators too"
    Refusal "E4" "a Refused ends the door that gave it, and that alone"
    Badge "E2" "a door has a badge of the host and office of the invite, or of those that follow"
    Petition "E1" "a Welcome is for the KeyPackage that is out"
    WelcomeLive "E6" "the statements of a Welcome are a live set"
    WelcomeNumber "E6" "the table of a Welcome is not older than those of invite and receipt"
    Receipt "E7" "a newcomer has a receipt of somebody of rank"
    ReceiptOffice "E7" "the receipt's office is in the chain of the epoch law"
    JointTree "E8" "every leaf of a Welcome is admitted by the joint law"
    EpochTree "E8" "every leaf of a Welcome is admitted by the epoch law"
    WelcomePins "R4" "the chain of a Welcome contains the pins"
    ReturnSet "R2" "a Return carries what the returner knows"
    Founding "F2" "who is let in by nobody founds a branch"
    Restart "U1" "after a restart nothing is signed before an epoch is entered and heard"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_bit_and_a_name() {
        assert!(Rule::EVERY.len() <= 64);
        for rule in Rule::EVERY {
            assert!(Rules::ALL.has(*rule) && !Rules::without(*rule).has(*rule));
            assert_eq!(Rule::named(&format!("{rule:?}")), Some(*rule));
        }
    }
}
