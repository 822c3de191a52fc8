//! What may happen in a storm of a hall.

use sottovoce::testkit::Defence;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scene {
    /// Listeners make up turns, bundles, beats, doors, programmes, and speak for others.
    MadeUp,
    /// Listeners ask without end.
    Claims,
    /// What was recorded is said again, where it was and elsewhere.
    Replays,
    /// The banned come back: their identity, other invites, old tickets, tickets of others.
    Banned,
    /// Somebody is banned while the banner's words to another porter are withheld.
    Unheard,
    /// Porters lie in beats: marks, clocks, epochs that nobody has.
    Beats,
    /// Porters lie to their own listeners: another secret, made up keys, an end.
    Own,
    /// Porters withhold what they should say to their cells.
    Withhold,
    /// Porters lie on the stage: clocks, epochs, turns out of turn.
    Stage,
    /// The head dies in the middle of a turn.
    HeadDies,
    /// A porter loses its rank, hears nothing of it, and keeps its door.
    Former,
    /// The relay divides stage and cells.
    Divide,
    /// The relay withholds one lane of somebody, or gives it another's.
    Lanes,
    /// Loss, delay and repeats.
    Weather,
    /// Half of a cell leaves at once; a crowd comes.
    Crowds,
    /// Somebody makes new cards, or says that it lacks the epoch, all the time.
    Flapping,
    /// Listeners sleep, or have wrong clocks.
    Sleep,
}

impl Scene {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::MadeUp,
        Self::Claims,
        Self::Replays,
        Self::Banned,
        Self::Unheard,
        Self::Beats,
        Self::Own,
        Self::Withhold,
        Self::Stage,
        Self::HeadDies,
        Self::Former,
        Self::Divide,
        Self::Lanes,
        Self::Weather,
        Self::Crowds,
        Self::Flapping,
        Self::Sleep,
    ];

    /// The scene of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scene| format!("{scene:?}") == name)
    }

    /// The scene that a defence is made for.
    pub fn against(defence: Defence) -> Option<Self> {
        Some(match defence {
            Defence::HallNamed | Defence::HallMark => Self::MadeUp,
            Defence::HallPace => Self::Claims,
            Defence::HallReplay | Defence::HallKnock => Self::Replays,
            Defence::HallBan | Defence::HallTicket | Defence::HallChain => Self::Banned,
            Defence::HallLaw => Self::Unheard,
            Defence::HallOwnClock => Self::Beats,
            Defence::HallClock | Defence::HallCount | Defence::HallCard => Self::Stage,
            Defence::HallHeeded => Self::HeadDies,
            _ => return None,
        })
    }
}
