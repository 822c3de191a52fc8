//! The screen of `talk`: what is on it, and how it is drawn.
//!
//! ```text
//! Evening room  in  2 here  code 12345 67890 ...          the room, the connection, the code
//! Ada (you)      host      ######....  speaks             who is here, who talks, how loud
//! Ben            speaker   ..........  hand 1  volume 50 %
//! ────────────────────────────────────────────────
//! Ben: good evening                                       what happened and was written, newest last
//! ────────────────────────────────────────────────
//! > hello_                                                what is being typed
//! microphone on  Tab: off  /help  Ctrl-C: leave
//! ```
//!
//! Whatever others have named or written is shown with its control characters and marks of
//! direction taken out, so that nobody writes beyond their place.

use std::collections::VecDeque;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph},
};

/// What the screen shows of the room. Made anew by the loop of the talk, drawn by the terminal's
/// thread.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The room's name.
    pub room: String,
    /// The connection, in words.
    pub state: String,
    /// Whether sound goes both ways at the moment.
    pub well: bool,
    /// The room's code.
    pub code: Option<String>,
    /// Loss, delay and the like, in words.
    pub traffic: String,
    /// Whether our microphone is on.
    pub microphone: bool,
    /// Whether we hear nobody.
    pub deafened: bool,
    /// Everybody in the room.
    pub people: Vec<Person>,
    lines: VecDeque<String>,
}

/// Somebody in the room.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// As it calls itself.
    pub name: String,
    /// What tells two of one name apart: the start of the fingerprint.
    pub fingerprint: String,
    /// What it may do.
    pub role: String,
    /// Whether it is us.
    pub is_self: bool,
    /// Decibels below full scale, 0 to 127; `None` where nothing is heard.
    pub below: Option<u8>,
    /// Whether it speaks.
    pub talks: bool,
    /// Which hand it is in the order of asking, from 1 on.
    pub hand: Option<usize>,
    /// What else there is to say: muted, volume and so on.
    pub notes: Vec<String>,
}

/// What is being typed, and how far the lines are scrolled back.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    text: String,
    back: usize,
}

impl View {
    /// Puts a line below the others; of more than 500 the oldest goes.
    pub fn say(&mut self, text: &str) {
        for line in text.lines() {
            self.lines.extend([tame(line)]);
        }
        let surplus = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..surplus);
    }
}

impl Prompt {
    /// Types a character; 600 at most, and none that moves a cursor.
    pub fn push(&mut self, typed: char) {
        if self.text.chars().count() < TYPED && !is_wild(typed) {
            self.text.push(typed);
        }
    }

    /// Takes the last character back.
    pub fn pop(&mut self) {
        self.text.pop();
    }

    /// Takes everything back.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What was typed, which is gone from the prompt then, and the lines are those of now.
    pub fn take(&mut self) -> String {
        std::mem::take(self).text
    }

    /// Goes back to older lines, or forward again.
    pub fn scroll(&mut self, back: isize) {
        self.back = self.back.saturating_add_signed(back).min(LINES);
    }
}

/// Draws everything, into however small a terminal.
pub fn draw(view: &View, prompt: &Prompt, frame: &mut Frame<'_>) {
    let area = frame.area();
    let columns = if area.width >= 2 * COLUMN { 2 } else { 1 };
    let wanted = view.people.len().div_ceil(columns) as u16;
    // Half of what is left is for people at most, and what is said and typed comes first.
    let people = wanted.min(area.height.saturating_sub(6) / 2 + 1).min(area.height.saturating_sub(4));
    let [header, members, said, typed, help] = Layout::vertical([
        Constraint::Length(u16::from(area.height > 1)),
        Constraint::Length(people),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(u16::from(area.height > 3)),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(self::header(view)), header);
    draw_people(view, columns, members, frame);
    draw_lines(view, prompt, said, frame);
    draw_prompt(prompt, typed, frame);
    frame.render_widget(Paragraph::new(footer(view)), help);
}

fn header(view: &View) -> Line<'_> {
    let state = Style::new().fg(if view.well { Color::Green } else { Color::Yellow });
    let mut spans = vec![
        Span::styled(tame(&view.room), Modifier::BOLD),
        Span::raw("  "),
        Span::styled(tame(&view.state), state),
        Span::raw(format!("  {} here", view.people.len())),
    ];
    if let Some(code) = &view.code {
        spans.push(Span::raw(format!("  code {code}")));
    }
    Line::from(spans)
}

fn footer(view: &View) -> Line<'_> {
    let (microphone, color, other) =
        if view.microphone { ("microphone on", Color::Green, "off") } else { ("MUTED", Color::Red, "on") };
    let mut spans = vec![Span::styled(microphone, Style::new().fg(color).add_modifier(Modifier::BOLD))];
    if view.deafened {
        spans.push(Span::styled("  DEAF", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)));
    }
    spans.push(Span::raw(format!("  Tab: {other}  /help  Ctrl-C: leave")));
    if !view.traffic.is_empty() {
        spans.push(Span::styled(format!("  {}", view.traffic), Modifier::DIM));
    }
    Line::from(spans)
}

/// Who talks comes first where not everybody has a place, then who asks to.
fn draw_people(view: &View, columns: usize, area: Rect, frame: &mut Frame<'_>) {
    let places = columns * usize::from(area.height);
    if places == 0 {
        return;
    }
    let mut people: Vec<&Person> = view.people.iter().collect();
    let hidden = people.len().saturating_sub(places);
    if hidden > 0 {
        people.sort_by_key(|person| (!person.talks, person.hand.unwrap_or(usize::MAX), !person.is_self));
        // The last place says how many have none.
        people.truncate(places - 1);
    }
    let mut lines: Vec<Line<'_>> = people.into_iter().map(|person| row(person, &view.people)).collect();
    if hidden > 0 {
        lines.push(Line::styled(format!("and {} more: /who", hidden + 1), Modifier::DIM));
    }
    let sides = Layout::horizontal(vec![Constraint::Ratio(1, columns as u32); columns]).split(area);
    for (lines, side) in lines.chunks(usize::from(area.height)).zip(sides.iter()) {
        // A blank column keeps two neighbours apart.
        let side = Rect { width: side.width.saturating_sub(u16::from(columns > 1)), ..*side };
        frame.render_widget(Paragraph::new(lines.to_vec()), side);
    }
}

fn row<'a>(person: &'a Person, all: &[Person]) -> Line<'a> {
    let mut name = tame(&person.name);
    // Names are not unique; fingerprints are.
    if all.iter().filter(|other| other.name == person.name).count() > 1 {
        name = format!("{} {name}", tame(&person.fingerprint));
    }
    if person.is_self {
        name += " (you)";
    }
    let name = fitted(&name, 20);
    let name_style = if person.talks { Style::new().fg(Color::Green).bold() } else { Style::new() };
    let loud = person.below.map_or(0, |below| usize::from(60_u8.saturating_sub(below)).div_ceil(6));
    let mut spans = vec![
        Span::styled(name, name_style),
        Span::raw(format!(" {:<9} ", tame(&person.role))),
        Span::styled(
            format!("{:.<10}", "#".repeat(loud)),
            if person.talks { Color::Green } else { Color::Gray },
        ),
    ];
    if person.talks {
        spans.push(Span::styled("  speaks", Color::Green));
    }
    if let Some(hand) = person.hand {
        spans.push(Span::styled(format!("  hand {hand}"), Color::Yellow));
    }
    spans.extend(person.notes.iter().map(|note| Span::raw(format!("  {}", tame(note)))));
    Line::from(spans)
}

fn draw_lines(view: &View, prompt: &Prompt, area: Rect, frame: &mut Frame<'_>) {
    let borders = if area.height > 3 { Borders::TOP | Borders::BOTTOM } else { Borders::NONE };
    let block = Block::new().borders(borders).border_style(Modifier::DIM);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if inner.is_empty() {
        return;
    }
    // As many rows as fit, from the back: a long line may take several.
    let mut rows: Vec<String> = Vec::new();
    let wanted = usize::from(inner.height);
    for line in view.lines.iter().rev().skip(prompt.back.min(view.lines.len().saturating_sub(1))) {
        rows.extend(folded(line, inner.width).into_iter().rev());
        if rows.len() >= wanted {
            break;
        }
    }
    rows.truncate(wanted);
    let rows: Vec<Line<'_>> = rows.into_iter().rev().map(Line::from).collect();
    frame.render_widget(Paragraph::new(rows), inner);
}

fn draw_prompt(prompt: &Prompt, area: Rect, frame: &mut Frame<'_>) {
    if area.width < 4 || area.height == 0 {
        return;
    }
    // The end of what is typed is what its writer looks at.
    let mut shown = String::new();
    for typed in prompt.text.chars().rev() {
        let longer = format!("{typed}{shown}");
        if width(&longer) + 3 > usize::from(area.width) {
            break;
        }
        shown = longer;
    }
    let cursor = area.x.saturating_add(2 + width(&shown) as u16).min(area.right().saturating_sub(1));
    frame.render_widget(Paragraph::new(format!("> {shown}")), area);
    frame.set_cursor_position(Position::new(cursor, area.y));
}

/// What others wrote, without what could write elsewhere on the screen: a space for each control
/// character and mark of direction. At most 2,000 characters of it.
pub fn tame(text: &str) -> String {
    text.chars().take(2_000).map(|c| if is_wild(c) { ' ' } else { c }).collect()
}

fn is_wild(c: char) -> bool {
    // Marks of direction and invisible ones; separators of lines and paragraphs.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The columns that a text takes.
fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Cut or filled to so many columns.
fn fitted(text: &str, columns: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let longer = format!("{out}{c}");
        if width(&longer) > columns {
            while width(&out) > columns - 1 {
                out.pop();
            }
            out.push('~');
            break;
        }
        out = longer;
    }
    let filling = columns.saturating_sub(width(&out));
    out + &" ".repeat(filling)
}

/// A line in rows of so many columns.
fn folded(line: &str, columns: u16) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut taken = 0;
    for c in line.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if taken + wide > usize::from(columns) {
            rows.push(String::new());
            taken = 0;
        }
        taken += wide;
        rows.last_mut().into_iter().for_each(|row| row.push(c));
    }
    rows
}

/// Lines that are kept.
const LINES: usize = 500;
/// Characters that may be typed: a message has 640 bytes at most.
const TYPED: usize = 600;
/// Columns that a person needs.
const COLUMN: u16 = 60;
