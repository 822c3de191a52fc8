//! Members who break the rules, with the keys of a member: what no relay and no outsider can do.
//!
//! `tests/room_attacks.rs` has what needs no keys.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::*;
use crate::group::{
    CredentialError,
    KeyExchange::{MlKem768X25519, X25519},
    Violation,
    announcement::Announcement,
    chain::Certificate,
    invite::UnixTime,
    message::{Beat, Heartbeat, Knock, Message},
    mls::{
        Candidate, Purpose,
        forge::{Forgery, group_with_credential},
        knock_aad,
    },
    order::Order,
    policy::Action,
};
use crate::media::Silence;

mod keepers;
mod paths;
mod speakers;

/// Rooms whose messages all arrive at once.
struct Party {
    rooms: Vec<Room>,
    now: Instant,
    unix: UnixTime,
}

const SECOND: Duration = Duration::from_secs(1);

fn identity(n: u8) -> Identity {
    Identity::from_seed([n; 32], Name::new(&format!("member {n}")).unwrap())
}

fn beat(group: &Group, epoch: Epoch, branch: [u8; 32], elapsed_ms: u64, unix: UnixTime) -> Beat {
    let (term, at_ms) = (group.state().term, unix.0 * 1_000 + 1);
    Beat { term, epoch, branch, elapsed_ms, at_ms, door_key: [9; 32], chain: Vec::new() }
}

fn options() -> RoomOptions {
    let mut options = RoomOptions::new(Name::new("room").unwrap(), [RelayName::new("relay.test:1").unwrap()]);
    options.admission = Admission::Open;
    options
}

impl Party {
    /// A host, a moderator, a speaker and a listener, in this order.
    fn new() -> Self {
        let mut party =
            Self { rooms: Vec::new(), now: Instant::now(), unix: UnixTime::from(SystemTime::now()) };
        party.rooms.push(
            Room::create(identity(0), options(), Seed::from_bytes(&mut [100; 32]), party.now, party.unix)
                .unwrap(),
        );
        let invite = party.invite();
        for n in 1..4 {
            party.knock(n, &invite);
        }
        party.pass(SECOND);
        assert!(party.rooms.iter().all(|room| room.roster().len() == 4));
        let now = party.now;
        let ids = party.ids();
        party.rooms[0].set_role(ids[1], Role::Moderator, now).unwrap();
        party.rooms[0].set_role(ids[2], Role::Speaker, now).unwrap();
        party.deliver();
        party.settle();
        party
    }

    /// Nobody renews its leaf: an epoch lasts until somebody wants another.
    fn without_renewals(mut self) -> Self {
        let later = self.now + 1_000 * 3_600 * SECOND;
        for room in &mut self.rooms {
            room.core.renew_every = 2_000 * 3_600 * SECOND;
            let Phase::Present(seat) = &mut room.phase else { continue };
            seat.renew_at = later;
        }
        self
    }

    fn ids(&self) -> Vec<MemberId> {
        self.rooms.iter().map(Room::id).collect()
    }

    fn invite(&mut self) -> String {
        let now = self.now;
        self.rooms[0].invite(InviteOptions::default(), now).unwrap().to_string()
    }

    fn knock(&mut self, n: u8, invite: &str) {
        let room = Room::knock(
            identity(n),
            invite.parse().unwrap(),
            Seed::from_bytes(&mut [100 + n; 32]),
            self.now,
            self.unix,
        )
        .unwrap();
        self.rooms.push(room);
        self.deliver();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.rooms.iter().filter_map(Room::poll_timeout).min().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for room in &mut self.rooms {
                room.handle_timeout(self.now);
            }
            self.deliver();
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        while let Some((from, message)) =
            self.rooms.iter_mut().enumerate().find_map(|(from, room)| Some((from, room.poll_transmit()?)))
        {
            for (to, room) in self.rooms.iter_mut().enumerate() {
                if to != from {
                    let _ = room.handle_control(&message, self.now);
                }
            }
        }
    }

    /// Forgets events and keys so far.
    fn settle(&mut self) {
        for room in &mut self.rooms {
            while room.poll_event().is_some() || room.poll_rekey().is_some() {}
        }
    }

    fn group(&mut self, n: usize) -> &mut Group {
        let Phase::Present(seat) = &mut self.rooms[n].phase else { panic!("{n} is not in the room") };
        &mut seat.group
    }

    fn envelope(&mut self, from: usize, message: &Message) -> Bytes {
        let core = &mut self.rooms[from].core;
        core.lane.seal(&message.encode(), &mut core.rng).unwrap().remove(0)
    }

    /// Gives a message of `from` to everybody else, and returns what they say to it.
    fn tell(&mut self, from: usize, message: Message) -> Vec<Result<(), ControlError>> {
        let envelope = self.envelope(from, &message);
        let now = self.now;
        let others = self.rooms.iter_mut().enumerate().filter(|(to, _)| *to != from);
        others.map(|(_, room)| room.handle_control(&envelope, now)).collect()
    }

    /// Everybody refuses this commit, names its maker and the reason, changes nothing, and follows the
    /// next honest commit.
    fn refuses(&mut self, from: usize, forgeries: Vec<Forgery>, violation: Violation) {
        let by = Some(self.rooms[from].id());
        let commit = self.group(from).forge(forgeries).commit;
        self.refuses_message(from, commit, ControlError::NotPermitted { by, violation });
    }

    /// Nobody merges this commit: the keeper did not ask for it, and says so.
    fn waits(&mut self, from: usize, forgeries: Vec<Forgery>) {
        let by = Some(self.rooms[from].id());
        let commit = self.group(from).forge(forgeries).commit;
        let before: Vec<_> = self.rooms.iter().map(|room| (room.epoch(), room.roster().to_vec())).collect();
        let answers = self.tell(from, Message::Mls(commit));
        let refused = ControlError::NotPermitted { by, violation: Violation::NotKeeper };
        assert_eq!(answers[HOST], Err(refused));
        self.pass(20 * SECOND);
        for (n, room) in self.rooms.iter().enumerate() {
            assert_eq!((room.epoch(), room.roster().to_vec()), before[n]);
        }
        self.settle();
        self.goes_on();
    }

    fn refuses_message(&mut self, from: usize, message: Vec<u8>, error: ControlError) {
        let before: Vec<_> = self.rooms.iter().map(|room| (room.epoch(), room.roster().to_vec())).collect();
        let answers = self.tell(from, Message::Mls(message));
        assert!(answers.iter().all(|answer| *answer == Err(error)), "{answers:?} is not {error:?}");
        for (n, room) in self.rooms.iter_mut().enumerate() {
            assert_eq!((room.epoch(), room.roster().to_vec()), before[n]);
            if n != from
                && let ControlError::NotPermitted { by, violation } = error
            {
                assert_eq!(room.poll_event(), Some(Event::Violation { by, violation }));
            }
            assert!(room.poll_rekey().is_none());
        }
        self.goes_on();
    }

    /// A change by the host reaches everybody who is still in.
    fn goes_on(&mut self) {
        let now = self.now;
        let stranger = MemberId::from_bytes(self.rooms[0].core.random());
        self.rooms[0].ban(stranger, now).unwrap();
        self.deliver();
        let epoch = self.rooms[0].epoch();
        for room in self.rooms.iter().filter(|room| room.status() == Status::Present) {
            assert_eq!(room.epoch(), epoch);
            assert!(room.is_banned(stranger));
        }
        self.settle();
    }

    /// A change by the host reaches these.
    fn goes_on_for(&mut self, members: &[usize]) {
        let now = self.now;
        let stranger = MemberId::from_bytes(self.rooms[0].core.random());
        self.rooms[0].ban(stranger, now).unwrap();
        self.deliver();
        assert!(members.iter().all(|n| self.rooms[*n].is_banned(stranger)));
    }

    /// A key package as an honest knock has it, for the group or for another.
    fn candidate(&mut self, n: u8, group_id: Option<&[u8]>) -> Box<Candidate> {
        let own = self.group(0).id().to_vec();
        let bound_to = group_id.unwrap_or(&own);
        let applicant =
            Applicant::new(&identity(n), bound_to, X25519, [n ^ 0x80; 32], [n; 32], self.unix).unwrap();
        Box::new(Candidate::vet(applicant.key_package(), bound_to, X25519, self.unix).unwrap())
    }
}

const HOST: usize = 0;
const MODERATOR: usize = 1;
const SPEAKER: usize = 2;
const LISTENER: usize = 3;

#[test]
fn a_ghost_cannot_be_added_by_a_listener() {
    let mut party = Party::new();
    let ghost = party.candidate(50, None);
    party.refuses(LISTENER, vec![Forgery::Add(ghost)], Violation::NotKeeper);
    let ghost = party.candidate(50, None);
    party.refuses(MODERATOR, vec![Forgery::Add(ghost)], Violation::NotKeeper);
    // Nor along with a change of keeper, nor by a listener that the keeper's right would cover.
    let ghost = party.candidate(51, None);
    let id = party.rooms[MODERATOR].id();
    let taken = party.group(MODERATOR).state().with_keeper(id, 0);
    party.refuses(MODERATOR, vec![Forgery::Add(ghost), Forgery::State(taken)], Violation::NotKeeper);
}

#[test]
fn ranks_hold_in_commits() {
    let mut party = Party::new();
    let ids = party.ids();
    let leaf = |party: &mut Party, n: usize| party.group(n).own_leaf();
    let (host, speaker, listener) =
        (leaf(&mut party, HOST), leaf(&mut party, SPEAKER), leaf(&mut party, LISTENER));
    party.refuses(MODERATOR, vec![Forgery::Remove(host)], Violation::Host);
    party.waits(MODERATOR, vec![Forgery::Remove(listener)]);
    party.waits(LISTENER, vec![Forgery::Remove(speaker)]);
    let raised = party.group(LISTENER).state().with_role(ids[LISTENER], Role::Speaker, None).unwrap();
    party.waits(LISTENER, vec![Forgery::State(raised)]);
    let own = Some(Certificate::new(&identity(1), party.group(HOST).id(), ids[LISTENER]));
    let raised = party.group(MODERATOR).state().with_role(ids[LISTENER], Role::Moderator, own).unwrap();
    party.refuses(MODERATOR, vec![Forgery::State(raised)], Violation::Certificate);
    party.waits(LISTENER, vec![Forgery::Update]);
    // Who takes over does so with its own right.
    for forgeries in [vec![Forgery::Remove(speaker)], vec![Forgery::Update]] {
        let taken = party.group(LISTENER).state().with_keeper(ids[LISTENER], 0);
        let raised = taken.with_role(ids[LISTENER], Role::Speaker, None).unwrap();
        let forgeries = forgeries.into_iter().chain([Forgery::State(raised)]).collect();
        party.refuses(LISTENER, forgeries, Violation::NoRight);
    }
}

#[test]
fn a_leaf_does_not_change_hands() {
    let mut party = Party::new();
    let taken = party.group(LISTENER).credential_by(&identity(77));
    party.refuses(LISTENER, vec![Forgery::Impersonate(taken)], Violation::Succession);
    let host_leaf = party.group(HOST).own_leaf();
    let copied = party.group(LISTENER).credential_of(host_leaf);
    party.refuses(
        LISTENER,
        vec![Forgery::Impersonate(copied)],
        Violation::Credential(CredentialError::Forged),
    );
}

#[test]
fn the_host_is_held_to_the_rules_too() {
    let mut party = Party::new();
    let ids = party.ids();
    let banned = identity(60).id();
    let now = party.now;
    party.rooms[HOST].ban(banned, now).unwrap();
    party.deliver();
    party.settle();
    let candidate = party.candidate(60, None);
    party.refuses(HOST, vec![Forgery::Add(candidate)], Violation::Banned);
    let candidate = party.candidate(LISTENER as u8, None);
    party.refuses(HOST, vec![Forgery::Add(candidate)], Violation::Duplicate);
    let candidate = party.candidate(61, Some(b"another group"));
    party.refuses(HOST, vec![Forgery::Add(candidate)], Violation::Credential(CredentialError::Forged));
    let ban = Order::new(&identity(0), party.group(HOST).id(), ids[LISTENER], 1, true);
    let silently = party.group(HOST).state().with_order(ban).unwrap();
    party.refuses(HOST, vec![Forgery::State(silently)], Violation::Banned);
    let mut terms = party.group(HOST).state().terms.clone();
    terms.authenticity = crate::Authenticity::Group;
    party.refuses(HOST, vec![Forgery::State(RoomState::new(terms))], Violation::FixedTerms);
    party.refuses(HOST, vec![Forgery::Extension], Violation::ForeignExtension);
}

#[test]
fn nobody_comes_in_by_an_external_commit_or_a_loose_proposal() {
    let mut party = Party::new();
    let commit = party.group(LISTENER).forge_external_commit(&identity(70));
    party.refuses_message(LISTENER, commit, ControlError::Malformed);
    let speaker = party.group(SPEAKER).own_leaf();
    let proposal = party.group(LISTENER).forge_proposal(speaker);
    let by = Some(party.rooms[LISTENER].id());
    let error = ControlError::NotPermitted { by, violation: Violation::ForeignProposal };
    party.refuses_message(LISTENER, proposal, error);
    assert_eq!(party.rooms[HOST].roster().len(), 4, "the host's commit did not carry the proposal along");
}

#[test]
fn only_the_host_closes_and_only_the_ranked_ask() {
    let mut party = Party::new();
    let ids = party.ids();
    let by = Some(ids[LISTENER]);
    let ban = Order::new(&identity(3), party.group(HOST).id(), ids[SPEAKER], 1, true);
    for announcement in [Announcement::Close, Announcement::Ask(Action::Order(ban))] {
        let message = party.group(LISTENER).seal(&announcement.encode()).unwrap();
        let answers = party.tell(LISTENER, Message::Mls(message));
        assert_eq!(answers[HOST], Err(ControlError::NotPermitted { by, violation: Violation::NoRight }));
        party.settle();
    }
    party.goes_on();
}

/// Somebody who knocks at `party`, without an answer so far.
fn knocker(party: &mut Party, n: u8) -> (Room, Vec<u8>) {
    let invite = party.invite();
    let room = Room::knock(
        identity(n),
        invite.parse().unwrap(),
        Seed::from_bytes(&mut [100 + n; 32]),
        party.now,
        party.unix,
    )
    .unwrap();
    let Phase::Waiting(waiting) = &room.phase else { unreachable!() };
    let key_package = waiting.key_package().to_vec();
    (room, key_package)
}

#[test]
fn a_welcome_counts_only_from_the_host_of_the_invite() {
    let mut party = Party::new();
    let (mut guest, key_package) = knocker(&mut party, 20);
    let group_id = party.group(HOST).id().to_vec();
    let state = party.group(HOST).state().clone();
    let host_leaf = party.group(HOST).own_leaf();
    let copied = party.group(LISTENER).credential_of(host_leaf);
    let mallory = identity(66);
    let unix = party.unix;
    let candidate = || Box::new(Candidate::vet(&key_package, &group_id, X25519, unix).unwrap());
    let now = party.now;
    let mut offer = |party: &mut Party, welcome: Option<Vec<u8>>| {
        let envelope = party.envelope(LISTENER, &Message::Welcome(welcome.unwrap()));
        let answer = guest.handle_control(&envelope, now);
        (answer, guest.status())
    };

    let mut own =
        group_with_credential(&group_id, &state, |leaf| mallory.credential(&group_id, leaf).encode());
    let welcome = own.forge(vec![Forgery::Add(candidate())]).welcome;
    assert_eq!(offer(&mut party, welcome), (Err(ControlError::NotTheHost), Status::Waiting));

    let mut copy = group_with_credential(&group_id, &state, |_| copied);
    let welcome = copy.forge(vec![Forgery::Add(candidate())]).welcome;
    let forged = ControlError::Welcome(Violation::Credential(CredentialError::Forged));
    assert_eq!(offer(&mut party, welcome), (Err(forged), Status::Waiting));

    let mut other = group_with_credential(b"another group", &state, |leaf| {
        mallory.credential(b"another group", leaf).encode()
    });
    let welcome = other.forge(vec![Forgery::Add(candidate())]).welcome;
    assert_eq!(offer(&mut party, welcome), (Err(ControlError::OtherGroup), Status::Waiting));

    // Three false welcomes later the true one still lets the guest in.
    let welcome = party.group(HOST).forge(vec![Forgery::Add(candidate())]).welcome;
    assert_eq!(offer(&mut party, welcome), (Ok(()), Status::Present));
}

#[test]
fn a_room_with_somebody_unvouched_in_it_is_not_entered() {
    let mut party = Party::new();
    let (mut guest, key_package) = knocker(&mut party, 21);
    let group_id = party.group(HOST).id().to_vec();
    let candidate = Box::new(Candidate::vet(&key_package, &group_id, X25519, party.unix).unwrap());
    let ghost = party.candidate(61, Some(b"another group"));
    let welcome = party.group(HOST).forge(vec![Forgery::Add(candidate), Forgery::Add(ghost)]).welcome;
    let envelope = party.envelope(HOST, &Message::Welcome(welcome.unwrap()));
    let now = party.now;
    let forged = ControlError::Welcome(Violation::Credential(CredentialError::Forged));
    assert_eq!(guest.handle_control(&envelope, now), Err(forged));
    assert_eq!(guest.status(), Status::Waiting);
}

#[test]
fn a_knock_must_be_what_it_says() {
    let mut party = Party::new();
    let invite: Invite = party.invite().parse().unwrap();
    let group_id = party.group(HOST).id().to_vec();
    let knock = |party: &mut Party, bound_to: &[u8], unix: UnixTime, lie: bool| {
        let applicant = Applicant::new(&identity(80), bound_to, X25519, [81; 32], [80; 32], unix).unwrap();
        let mut reference = *applicant.reference();
        reference[0] ^= u8::from(lie);
        let aad = knock_aad(&group_id, &invite.id.0, &reference);
        let sealed = invite.join_key.seal(Purpose::Knock, applicant.key_package(), &aad).unwrap();
        let knock =
            Knock { invite: invite.id.0, reference, kem_output: sealed.kem_output, sealed: sealed.sealed };
        party.tell(LISTENER, Message::Knock(knock))[HOST]
    };
    let unix = party.unix;
    let forged = Violation::Credential(CredentialError::Forged);
    assert_eq!(knock(&mut party, b"another", unix, false), Err(ControlError::KeyPackage(forged)));
    assert_eq!(knock(&mut party, &group_id, unix, true), Err(ControlError::Malformed));
    let long_ago = UnixTime(unix.0 - 40 * 24 * 3600);
    assert!(matches!(knock(&mut party, &group_id, long_ago, false), Err(ControlError::KeyPackage(_))));
    assert_eq!(knock(&mut party, &group_id, unix, false), Ok(()));
    assert_eq!(knock(&mut party, &group_id, unix, false), Err(ControlError::Repeated));
}

#[test]
fn a_knock_with_the_key_exchange_of_another_room_is_refused() {
    let mut party = Party::new();
    let invite: Invite = party.invite().parse().unwrap();
    let group_id = party.group(HOST).id().to_vec();
    let applicant =
        Applicant::new(&identity(82), &group_id, MlKem768X25519, [82; 32], [83; 32], party.unix).unwrap();
    let reference = *applicant.reference();
    let aad = knock_aad(&group_id, &invite.id.0, &reference);
    let sealed = invite.join_key.seal(Purpose::Knock, applicant.key_package(), &aad).unwrap();
    let knock =
        Knock { invite: invite.id.0, reference, kem_output: sealed.kem_output, sealed: sealed.sealed };
    let answer = party.tell(LISTENER, Message::Knock(knock))[HOST];
    assert_eq!(answer, Err(ControlError::KeyPackage(Violation::ForeignExtension)));
    party.goes_on();
}

#[test]
fn no_more_than_64_knocks_are_decrypted_in_a_second() {
    let mut party = Party::new();
    party.pass(SECOND);
    let link = party.invite();
    let knock = |party: &mut Party, n: u8| {
        let invite = link.parse().unwrap();
        let mut room =
            Room::knock(identity(n), invite, Seed::from_bytes(&mut [n; 32]), party.now, party.unix).unwrap();
        let message = room.poll_transmit().unwrap();
        let now = party.now;
        party.rooms[HOST].handle_control(&message, now)
    };
    for n in 100..164 {
        assert_eq!(knock(&mut party, n), Ok(()), "{n}");
    }
    assert_eq!(knock(&mut party, 164), Err(ControlError::Flood));
    assert_eq!(knock(&mut party, 165), Err(ControlError::Flood));
    party.now += SECOND;
    assert_eq!(knock(&mut party, 164), Ok(()), "who repeats its knock is heard later");
}

#[test]
fn altered_messages_change_nothing_and_keep_nothing_out() {
    let mut party = Party::new();
    let (mut guest, _) = knocker(&mut party, 22);
    let knock = guest.poll_transmit().unwrap();
    let now = party.now;
    let id = party.ids()[LISTENER];
    party.deliver();
    party.rooms[HOST].set_role(id, Role::Speaker, now).unwrap();
    let commit = party.rooms[HOST].poll_transmit().unwrap();
    while party.rooms[HOST].poll_transmit().is_some() {}
    let before = party.rooms[SPEAKER].epoch();
    for envelope in [&commit, &knock] {
        let mut inbox = Inbox::default();
        let plain = inbox.receive(&party.rooms[HOST].core.lane, envelope).unwrap().unwrap();
        for at in 0..plain.len() {
            let mut altered = plain.clone();
            altered[at] ^= 1 << (at % 8);
            let core = &mut party.rooms[LISTENER].core;
            let envelope = core.lane.seal(&altered, &mut core.rng).unwrap().remove(0);
            let cut = core.lane.seal(&plain[..at], &mut core.rng).unwrap().remove(0);
            for n in [HOST, SPEAKER] {
                let _ = party.rooms[n].handle_control(&envelope, now);
                assert!(party.rooms[n].handle_control(&cut, now).is_err());
            }
            assert_eq!(party.rooms[SPEAKER].epoch(), before, "byte {at}");
            assert_eq!(party.rooms[SPEAKER].roster().len(), 4);
        }
    }
    // The unaltered commit still counts.
    party.rooms[SPEAKER].handle_control(&commit, now).unwrap();
    assert_eq!(party.rooms[SPEAKER].epoch(), party.rooms[HOST].epoch());
}

#[test]
fn somebody_who_was_removed_follows_nothing_any_more() {
    let mut party = Party::new();
    let ids = party.ids();
    let now = party.now;
    // The removed keeps a copy of its keys: it does not process the commit that removes it.
    party.rooms[HOST].ban(ids[LISTENER], now).unwrap();
    let messages: Vec<Bytes> = std::iter::from_fn(|| party.rooms[HOST].poll_transmit()).collect();
    let before = party.rooms[LISTENER].epoch();
    for message in &messages[1..] {
        assert!(party.rooms[LISTENER].handle_control(message, now).is_ok(), "held: of an epoch to come");
        party.rooms[SPEAKER].handle_control(message, now).unwrap();
    }
    party.rooms[SPEAKER].handle_control(&messages[0], now).unwrap();
    assert_eq!(party.rooms[LISTENER].epoch(), before);
    // What it says in the old epoch is not heard in the new one.
    let message = party.group(LISTENER).seal(&Announcement::Leave.encode()).unwrap();
    assert_eq!(party.tell(LISTENER, Message::Mls(message))[SPEAKER], Err(ControlError::Stale));
}
