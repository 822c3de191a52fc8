//! Which of the statements shown are worth a signature check (`spec/law.md`, L28 and L29).

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use crate::id::IdentityKey;

use super::{
    answers::Law,
    set::LiveSet,
    standing::Standing,
    statement::{Content, Genuine, GenuineStatement, Signed, Statement, StatementId},
    store::Store,
    table::{Office, Table},
    terms::GroupId,
};

/// The signature checks of one merge.
pub(super) struct Work {
    pub(super) left: usize,
    pub(super) seconds: Vec<Genuine<Table>>,
    pub(super) unlooked: Vec<Statement>,
}

impl Work {
    /// L28: follows the hand-overs shown from the office that is known, and takes at each office
    /// the newest table.
    pub(super) fn tables(
        &mut self,
        base: &LiveSet,
        shown: Vec<Signed<Table>>,
        proofs: usize,
    ) -> Vec<Genuine<Table>> {
        let mut by_office: HashMap<(IdentityKey, Office), Vec<Signed<Table>>> = HashMap::new();
        for table in shown {
            let held = match base.get(&table.id(base.group_id())) {
                Some(GenuineStatement::Table(held)) => {
                    held.content().rest().is_some() || table.content.rest().is_none()
                }
                _ => false,
            };
            if !held {
                by_office.entry((*table.content.signer(), table.content.office())).or_default().push(table);
            }
        }
        let law = base.law();
        let mut genuine = Vec::new();
        let (mut host, mut office) = (*law.host(), law.office());
        while let Some(shown) = by_office.remove(&(host, office)) {
            let (hand_overs, mut tables): (Vec<_>, Vec<_>) =
                shown.into_iter().partition(|table| table.content.is_hand_over());
            let first = genuine.len();
            for table in self.some_genuine(hand_overs, 2, base.group_id()) {
                genuine.push(table);
            }
            let next = genuine.iter().skip(first).min_by_key(|table| table.id());
            let next = next.map(|table| (*table.content().host(), Office::from(table.id())));
            if let [first, second] = genuine.get(first..).unwrap_or_default() {
                self.seconds.extend([first.clone(), second.clone()]);
            }
            let newest = if office == law.office() { law.table_no() } else { None };
            tables.retain(|table| table.content.rest().is_some() && newest <= Some(table.content.no()));
            tables.sort_by_cached_key(|table| (Reverse(table.content.no()), table.id(base.group_id())));
            genuine.extend(self.some_genuine(tables, 1, base.group_id()));
            let Some(next) = next else { break };
            (host, office) = next;
        }
        if proofs < Store::MAX_PROOFS {
            by_office.retain(|(signer, office), _| law.handed_over(signer, *office).is_some());
            for (_, mut shown) in by_office {
                shown.retain(|table| {
                    table.content.is_hand_over() && base.get(&table.id(base.group_id())).is_none()
                });
                let second = self.some_genuine(shown, 1, base.group_id());
                self.seconds.extend(second);
            }
        }
        genuine
    }

    /// The first `most` of the tables that are genuine.
    fn some_genuine(
        &mut self,
        shown: Vec<Signed<Table>>,
        most: usize,
        room: &GroupId,
    ) -> Vec<Genuine<Table>> {
        let mut genuine: Vec<Genuine<Table>> = Vec::new();
        let mut shown = shown.into_iter();
        while genuine.len() < most
            && let Some(table) = shown.next()
        {
            if self.spend() {
                let fresh = |table: &Genuine<Table>| !genuine.contains(table);
                let table = table.verify(room).ok().filter(fresh);
                genuine.extend(table);
            } else {
                self.unlooked.push(Statement::Table(table));
            }
        }
        genuine
    }

    /// L29: of what one issuer says about one tag in one register, the greatest that is genuine.
    pub(super) fn standings<'a>(
        &mut self,
        laws: [&Law; 2],
        shown: Vec<Signed<Standing>>,
        held: impl Fn(&StatementId) -> Option<&'a GenuineStatement>,
        room: &GroupId,
    ) -> Vec<Genuine<Standing>> {
        let mut genuine = Vec::new();
        let mut answered = BTreeSet::new();
        let mut shown: Vec<_> = shown.into_iter().map(|standing| (standing.id(room), standing)).collect();
        shown.sort_by_key(|(id, standing)| {
            (Reverse(standing.content.n), Reverse(standing.content.word.strictness()), *id)
        });
        shown.dedup();
        for (id, standing) in shown {
            if let Some(GenuineStatement::Standing(standing)) = held(&id) {
                genuine.push(standing.clone());
                continue;
            }
            let said = &standing.content;
            let heard = laws.map(|law| {
                law.hears(said)
                    && law.reaches(&said.issuer, said.word.register(), &said.about)
                    && !is_outdone(law, said)
            });
            let place = (said.issuer, said.term, said.about, said.word.register());
            let places = [(0, place), (1, place)];
            let fresh = heard.iter().zip(&places).any(|(heard, place)| *heard && !answered.contains(place));
            if !fresh {
                continue;
            }
            if !self.spend() {
                self.unlooked.push(Statement::Standing(standing));
                continue;
            }
            if let Ok(standing) = standing.verify(room) {
                answered.extend(heard.iter().zip(places).filter_map(|(heard, place)| heard.then_some(place)));
                genuine.push(standing);
            }
        }
        genuine
    }

    fn spend(&mut self) -> bool {
        let can = self.left > 0;
        self.left = self.left.saturating_sub(1);
        can
    }
}

/// Whether a word that counts already takes the place of this one.
fn is_outdone(law: &Law, said: &Standing) -> bool {
    law.words(&said.about).iter().map(Genuine::content).any(|word| {
        word.issuer == said.issuer
            && word.word.register() == said.word.register()
            && (word.n, word.word.strictness()) > (said.n, said.word.strictness())
    })
}

/// Tables, ascending by id, and standings.
pub(super) fn split(
    statements: Vec<Statement>,
    room: &GroupId,
) -> (Vec<Signed<Table>>, Vec<Signed<Standing>>) {
    let (mut tables, mut standings) = (Vec::new(), Vec::new());
    for statement in statements {
        match statement {
            Statement::Table(table) => tables.push(table),
            Statement::Standing(standing) => standings.push(standing),
        }
    }
    tables.sort_by_cached_key(|table| table.id(room));
    (tables, standings)
}
